"""Votes and ratings as files for other tools: CSV, Parquet, JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evals.arena.contest import Contest
from evals.arena.result import ArenaResult, results
from evals.arena.votes import Vote, read_votes
from workbench.store.files import make_folder, write_atomically

if TYPE_CHECKING:
    import pandas as pd


def votes_frame(contest: Contest, votes: Sequence[Vote] | None = None) -> pd.DataFrame:
    """One row for each standing vote, with names in place of numbers: this is not blind any more.

    Columns: rater, number, prompt_id, prompt, seed, left, right, choice, winner (empty for ties and skips), repeat,
    seconds, at.
    """
    import pandas as pd

    rows = []
    for vote in read_votes(contest) if votes is None else votes:
        item = contest.items[vote.pair.item]
        left, right = contest.contenders[vote.pair.left], contest.contenders[vote.pair.right]
        winner = {"left": left, "right": right}.get(vote.choice)
        rows.append(
            {
                "rater": vote.rater, "number": vote.pair.number, "prompt_id": item.prompt_id, "prompt": item.prompt,
                "seed": item.seed, "left": left, "right": right, "choice": vote.choice, "winner": winner,
                "repeat": vote.pair.repeat, "seconds": vote.seconds, "at": vote.at,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def export(contest: Contest, folder: str | Path, result: ArenaResult | None = None) -> list[Path]:
    """Write `votes.csv`, `votes.parquet`, `ratings.csv` and `result.json`, each whole or not at all.

    Args:
        contest: whose votes.
        folder: made when absent.
        result: None computes it from all votes.

    Raises:
        ArenaError: there is no vote.
        StoreError: the folder cannot be written.
    """
    result = result or results(contest)
    folder = Path(folder)
    make_folder(folder)
    votes = votes_frame(contest)
    parquet = io.BytesIO()
    votes.to_parquet(parquet, index=False)
    text = json.dumps(result.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files = {
        "votes.csv": votes.to_csv(index=False).encode(),
        "votes.parquet": parquet.getvalue(),
        "ratings.csv": result.frame().to_csv(index=False).encode(),
        "result.json": text.encode(),
    }
    for name, data in files.items():
        write_atomically(folder / name, data)
    return [folder / name for name in files]
