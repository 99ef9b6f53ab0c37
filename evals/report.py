"""Figures of an evaluation: skills with intervals, confusion matrices, and the files that hold them.

A figure never travels alone: each carries its count, a 95 % Wilson interval, its direction and the judge's version.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evals.run import Evaluation, Judged
from evals.scenes.colours import NAMES
from evals.scenes.prompt import SHAPES
from evals.scenes.verdict import CheckName, asked
from evals.statistics import share_interval

if TYPE_CHECKING:
    import pandas as pd

Confusable = Literal["shape", "colour", "background", "count"]
CONFUSIONS: tuple[Confusable, ...] = ("shape", "colour", "background", "count")


@dataclass(frozen=True, slots=True)
class Skill:
    """The share of pictures that are right in one respect."""

    name: str
    value: float  # right / n, 0 to 1
    right: int
    n: int
    low: float  # 95 % Wilson interval
    high: float
    about: str
    direction: str = "higher is better"


_SKILLS: dict[str, tuple[tuple[str, ...], tuple[CheckName, ...], str]] = {
    # name: kinds of prompts (none: all), checks that must all hold, what it says
    "background": ((), ("background",), "the background has the colour asked for"),
    "single": (("single",), ("count", "shape", "colour"), "exactly one object, of the right shape and colour"),
    "relation": (
        ("relation",),
        ("count", "shape", "colour", "relation"),
        "exactly two objects, both of the right shape and colour, and rightly placed",
    ),
    "relation place": (("relation",), ("relation",), "two objects, told apart by shape or colour, rightly placed"),
    "relation objects": (
        ("relation",),
        ("count", "shape", "colour"),
        "exactly two objects, both right, placed anywhere",
    ),
    "count": (
        ("count",),
        ("count", "shape", "colour"),
        "the right number of objects, all of the right shape and colour",
    ),
    "count number": (("count",), ("count",), "the right number of objects, whatever they are"),
    "word": (("word",), ("word",), "the word reads exactly as asked for"),
    "word colour": (("word",), ("colour",), "the ink has the colour asked for"),
    "size": ((), ("size",), "objects called small or large are so"),
}


def skills(evaluation: Evaluation) -> list[Skill]:
    """Every skill that the suite tests. A picture that could not be made counts as not right.

    Words are left out when no reader was there.
    """
    found = [
        _skill(name, [_holds(row, checks) for row in evaluation.rows if _applies(row, kinds, checks)], about)
        for name, (kinds, checks, about) in _SKILLS.items()
        if name != "word" or evaluation.reader
    ]
    whole = [row.verdict.right if row.verdict else False for row in evaluation.rows]
    found.append(
        _skill("everything", [right for right in whole if right is not None], "every check of the prompt holds")
    )
    return [skill for skill in found if skill.n]


def _applies(row: Judged, kinds: tuple[str, ...], checks: tuple[CheckName, ...]) -> bool:
    if kinds and row.prompt.kind not in kinds:
        return False
    return row.verdict is None or all(check in asked(row.verdict.expected) for check in checks)


def _holds(row: Judged, checks: tuple[CheckName, ...]) -> bool:
    return row.verdict is not None and row.verdict.holds(*checks) is True


def _skill(name: str, outcomes: list[bool], about: str) -> Skill:
    right, n = sum(outcomes), len(outcomes)
    if not n:
        return Skill(name, 0.0, 0, 0, 0.0, 1.0, about)
    low, high = share_interval(right, n)
    return Skill(name, right / n, right, n, low, high, about)


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that the figures need to be understood and repeated, as JSON values."""
    suite = evaluation.suite
    return {
        "suite": {
            "name": suite.name, "version": suite.version, "about": suite.about,
            "prompts": len(suite.prompts), "sha256": suite.fingerprint,
        },
        "model": evaluation.model,
        "weights": evaluation.weights,
        "settings": evaluation.settings,
        "seed": evaluation.seed,
        "judge": {"version": evaluation.judge, "reader": evaluation.reader or None},
        "environment": evaluation.environment,
        "pictures": sum(row.picture is not None for row in evaluation.rows),
        "failed": [{"id": row.prompt.id, "error": row.error} for row in evaluation.rows if row.verdict is None],
        "interval": "95 % Wilson",
        "skills": [asdict(skill) for skill in skills(evaluation)],
    }  # fmt: skip


def table(evaluation: Evaluation) -> pd.DataFrame:
    """One row for each prompt: what was asked, what was seen, and the outcome of each check."""
    import pandas as pd

    rows = []
    for row in evaluation.rows:
        cells: dict[str, Any] = {
            "id": row.prompt.id, "kind": row.prompt.kind, "prompt": row.prompt.prompt, "seed": row.seed,
            "digest": row.digest, "error": row.error, "judge": evaluation.judge,
        }  # fmt: skip
        if verdict := row.verdict:
            cells["right"] = verdict.right
            cells["objects"] = ", ".join(map(str, verdict.objects))
            for name, check in verdict.checks.items():
                cells |= {name: check.ok, f"{name} seen": check.seen, f"{name} why": check.why}
        rows.append(cells)
    return pd.DataFrame(rows).astype(dict.fromkeys(_checks_in(rows), "boolean"))


def _checks_in(rows: list[dict[str, Any]]) -> list[str]:
    names = ("right", "background", "count", "shape", "colour", "size", "relation", "word")
    return [name for name in names if any(name in cells for cells in rows)]


def confusion(evaluation: Evaluation, what: Confusable) -> pd.DataFrame:
    """Counts of what was seen (columns) for each thing asked for (rows); "missing" is an object that is not there."""
    import pandas as pd

    rows, columns = _labels(what)
    pairs = Counter(_pairs(evaluation, what))
    counts = [[pairs[wanted, seen] for seen in columns] for wanted in rows]
    return pd.DataFrame(counts, pd.Index(rows, name=f"{what} asked for"), pd.Index(columns, name="seen"))


def _labels(what: Confusable) -> tuple[list[str], list[str]]:
    if what == "count":
        return [str(n) for n in range(1, 6)], [*(str(n) for n in range(7)), "7 or more"]
    names = list(SHAPES) if what == "shape" else list(NAMES)
    return names, [*names, "unknown", *(["missing"] if what != "background" else [])]


def _pairs(evaluation: Evaluation, what: Confusable) -> Iterator[tuple[str, str]]:
    for verdict in (row.verdict for row in evaluation.rows if row.verdict):
        if what == "background":
            yield verdict.expected.background, verdict.background
        elif what == "count":
            if not verdict.expected.words:
                seen = len(verdict.objects)
                yield str(len(verdict.expected.shapes)), str(seen) if seen < 7 else "7 or more"
        else:
            for thing, look in verdict.matches:
                wanted = thing.shape if what == "shape" else thing.colour
                yield (
                    wanted,
                    "missing" if look is None else look.shape.name if what == "shape" else look.blob.colour.name,
                )


def write_report(evaluation: Evaluation, out: Path, *, seed: int = 0) -> list[Path]:
    """Write all files of a report into `out`, each whole or not at all.

    Args:
        evaluation: what to report.
        out: a folder, made when absent.
        seed: of the draw of pictures for the sheet.

    Returns:
        `summary.json`, `verdicts.parquet`, a CSV and a PNG for each confusion matrix, `sheet.png` (24 pictures drawn by
        lot) and `worst.png` (the worst cases, where there are any).

    Raises:
        StoreError: the folder cannot be written.
    """
    from evals.sheet import confusion_figure, drawn_by_lot, png, sheet, worst_cases
    from workbench.store.files import make_folder, write_atomically

    make_folder(out)
    parquet = io.BytesIO()
    table(evaluation).to_parquet(parquet, index=False)
    text = json.dumps(summary(evaluation), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files: dict[str, bytes] = {"summary.json": text.encode(), "verdicts.parquet": parquet.getvalue()}
    for what in CONFUSIONS:
        counts = confusion(evaluation, what)
        files[f"confusion_{what}.csv"] = counts.to_csv().encode()
        files[f"confusion_{what}.png"] = png(confusion_figure(counts))
    title = f"{evaluation.model}, suite {evaluation.suite.name}"
    chosen = drawn_by_lot(evaluation.rows, seed=seed)
    files["sheet.png"] = png(sheet(chosen, title=f"{title}: {len(chosen)} pictures drawn by lot (seed {seed})"))
    if worst := worst_cases(evaluation.rows):
        files["worst.png"] = png(sheet(worst, title=f"{title}: the {len(worst)} worst"))
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]
