"""A run on disk: every score as Parquet, every picture small, and a YAML file that makes it again.

run.yaml           contenders, scorers with versions, seeds, environment, and the command that makes the run again
suite.json         the prompts
scores.parquet     the tidy table of `EvalRun.frame`
pictures.parquet   one row for each picture: recipe, seconds, what the scorers saw, the picture (reduced to 384 px)
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from PIL import Image

from evals.running.types import Cell, Contender, EvalRun, RunError, ScorerFacts
from evals.scoring import Metric, Score
from evals.suite import Suite, SuiteError, parse_suite
from workbench import __version__
from workbench.recipe import dump_yaml
from workbench.store.files import make_folder, write_atomically

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
RUN, SUITE, SCORES, PICTURES = "run.yaml", "suite.json", "scores.parquet", "pictures.parquet"
LONGEST_SIDE = 384  # pixels of a kept picture
MOST_BYTES = 4 * 2**30  # of one file of a run


def save_run(run: EvalRun, folder: Path) -> list[Path]:
    """Write the four files of a run, each whole or not at all; `run.yaml` last.

    Args:
        run: what to keep.
        folder: made when absent; files of an earlier run there are replaced.

    Raises:
        StoreError: the folder cannot be written.
    """
    make_folder(folder)
    contents = {
        SUITE: (run.suite.model_dump_json(indent=1, exclude_defaults=True) + "\n").encode(),
        SCORES: _parquet(run.frame()),
        PICTURES: _parquet(_pictures(run)),
        RUN: dump_yaml(_facts(run)).encode(),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def load_run(folder: str | Path) -> EvalRun:
    """Read a run that `save_run` wrote. Its pictures are the reduced ones.

    Raises:
        RunError: the folder holds no run, or a file of it is missing or damaged.
    """
    import pandas as pd

    folder = Path(folder)
    facts, suite = _read_facts(folder, folder / RUN)
    with _explained(folder):
        return _assemble(facts, suite, pd.read_parquet(io.BytesIO(_read(folder / PICTURES))))


def _read_facts(folder: Path, file: Path) -> tuple[dict[str, Any], Suite]:
    with _explained(folder):
        facts = yaml.safe_load(_read(file).decode())
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise RunError(f"The file {str(file)!r} is no run of this format.", "Run the suite again.")
        suite = parse_suite(_read(folder / SUITE), str(folder / SUITE))
        return facts, suite.model_copy(update={"folder": str(folder.absolute())})


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what a damaged file makes of itself into a sentence."""
    try:
        yield
    except (yaml.YAMLError, KeyError, TypeError, ValueError, OSError, SuiteError) as error:
        reason = error.message if isinstance(error, SuiteError) else " ".join(str(error).split())
        raise RunError(f"The run in {str(folder)!r} cannot be read: {reason}.", "Run the suite again.") from None


def load_plan(file: Path) -> EvalRun:
    """What a run was made of, without its pictures and scores: enough to make it again.

    Args:
        file: the `run.yaml` of a run, with `suite.json` beside it.

    Raises:
        RunError: the file is none, or a contender drew by a function, which no file holds.
    """
    facts, suite = _read_facts(file.parent, file)
    if functions := [each["name"] for each in facts["contenders"] if each["function"]]:
        raise RunError(f"The contender {functions[0]!r} drew by a function of a program.", "Run that program again.")
    import pandas as pd

    return _assemble(facts, suite, pd.DataFrame())


def command(run: EvalRun) -> str:
    """The command that makes a run again; empty where a contender drew by a function."""
    if any(run.by_function(name) for name in run.names):
        return ""
    return "evals run --again run.yaml --out DIR"


def _facts(run: EvalRun) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "created": run.created,
        "suite": {"name": run.suite.name, "version": run.suite.version, "sha256": run.suite.fingerprint},
        "prompts": len(run.suite.prompts),
        "seeds": run.seeds,
        "base_seed": run.base_seed,
        "paired": run.paired,
        "contenders": [
            {"name": each.name, "fields": plain(each.fields), "function": run.by_function(each.name),
             "weights": run.weights.get(each.name, "")}
            for each in run.contenders
        ],
        "scorers": [
            {"name": each.name, "version": each.version, "metrics": [asdict(metric) for metric in each.metrics]}
            for each in run.scorers
        ],
        "environment": dict(run.environment),
        "ceilings": plain(run.ceilings),
    }  # fmt: skip
    if again := command(run):
        facts["again"] = again
    return facts


def plain(value: Any) -> Any:
    """Tuples, models and mappings of recipe fields as YAML and JSON know them."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _pictures(run: EvalRun) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for cell in run.cells:
        picture = run.picture(cell)
        rows.append(
            {
                "prompt_id": cell.prompt_id, "contender": cell.contender, "index": cell.index, "seed": cell.seed,
                "digest": cell.digest, "picture_digest": cell.picture_digest, "recipe": cell.recipe,
                "seconds": cell.seconds, "gigabytes": cell.gigabytes, "error": cell.error,
                "scores": json.dumps({name: asdict(score) for name, score in cell.scores.items()}, ensure_ascii=False),
                "picture": None if picture is None else encode(picture),
            }
        )  # fmt: skip
    return pd.DataFrame(rows).astype({"seconds": "float64", "gigabytes": "float64"})


def encode(picture: Image.Image, side: int = LONGEST_SIDE) -> bytes:
    """A small picture file: lossless PNG where it is small already, else WebP reduced to `side` pixels."""
    small, buffer = picture.copy(), io.BytesIO()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    if max(picture.size) <= 256:
        small.save(buffer, "PNG", optimize=False)
    else:
        small.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


def _assemble(facts: Mapping[str, Any], suite: Suite, pictures: pd.DataFrame) -> EvalRun:
    cells, files = [], {}
    for row in pictures.to_dict("records"):
        scores = {
            name: Score(each["values"], each["seen"], each["error"]) for name, each in json.loads(row["scores"]).items()
        }
        cell = Cell(
            row["prompt_id"], row["contender"], int(row["index"]), int(row["seed"]), row["digest"],
            row["picture_digest"], row["recipe"], _number(row["seconds"]), _number(row["gigabytes"]), row["error"],
            scores,
        )  # fmt: skip
        cells.append(cell)
        if row["picture"] is not None:
            files[cell.contender, cell.prompt_id, cell.index] = row["picture"]

    def open_picture(cell: Cell) -> Image.Image | None:
        content = files.get((cell.contender, cell.prompt_id, cell.index))
        return None if content is None else Image.open(io.BytesIO(content)).convert("RGB")

    return EvalRun(
        suite,
        tuple(Contender(each["name"], each["fields"]) for each in facts["contenders"]),
        tuple(cells),
        tuple(
            ScorerFacts(each["name"], each["version"], tuple(Metric(**metric) for metric in each["metrics"]))
            for each in facts["scorers"]
        ),
        facts["seeds"],
        facts["base_seed"],
        facts["paired"],
        {each["name"]: each["weights"] for each in facts["contenders"] if each["weights"]},
        facts["environment"],
        facts["created"],
        facts["ceilings"],
        open_picture,
    )


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)  # NaN stands for None in a column


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RunError(f"The file {str(path)!r} is larger than any file of a run.")
        return path.read_bytes()
    except FileNotFoundError:
        raise RunError(
            f"There is no file {str(path)!r}.", "Name a folder that `evals run --out` has written."
        ) from None
