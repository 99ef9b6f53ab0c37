"""What a run is made of: contenders, cells, and the run with its tidy table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from evals.scoring import Metric, Score, Scorer
from evals.suite import Prompt, Suite
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "suite", "prompt_id", "kind", "cluster", "contender", "seed", "digest", "picture_digest", "scorer", "version",
    "metric", "direction", "value", "error", "seconds",
)  # fmt: skip
"""Of `EvalRun.frame`."""


class RunError(WorkbenchError):
    """A run cannot start or its folder is none: no scorers, a contender twice, a file that is missing."""

    code = "WB406"


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that makes pictures from prompts: recipe fields, or any function.

    Attributes:
        name: as reports call it; unique in a run.
        fields: recipe fields beside prompt and seed, for example {"model": ..., "steps": 8}.
        draw: makes the picture instead of a session, from the prompt's row and the seed; must be deterministic.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    draw: Callable[[Prompt, int], Image.Image] | None = None


@dataclass(frozen=True, slots=True)
class ScorerFacts:
    """What a run keeps of a scorer."""

    name: str
    version: str
    metrics: tuple[Metric, ...]

    @classmethod
    def of(cls, scorer: Scorer) -> ScorerFacts:
        """The facts of a living scorer."""
        return cls(scorer.name, scorer.version, tuple(scorer.metrics))


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a run, or why there is none."""

    prompt_id: str
    contender: str
    index: int  # which of the prompt's seeds, from 0
    seed: int
    digest: str = ""  # of the resolved recipe; empty for pictures from elsewhere
    picture_digest: str = ""  # of the pixels; empty where there is no picture
    recipe: str = ""  # YAML; empty for pictures from elsewhere
    seconds: float | None = None  # that making it took
    gigabytes: float | None = None  # peak memory while it was made
    error: str = ""  # why there is no picture
    scores: Mapping[str, Score] = field(default_factory=dict)  # by scorer


OpenPicture = Callable[[Cell], Image.Image | None]


@dataclass(frozen=True, slots=True)
class EvalRun:
    """All scores of one run, with all that decides them.

    Attributes:
        suite: the prompts.
        contenders: who drew.
        cells: by contender, then prompt, then seed.
        scorers: what judged.
        seeds: pictures of each prompt.
        base_seed: added to every seed.
        paired: whether all contenders drew with the same seeds.
        weights: contender to SHA-256 over its model's files; empty for pictures from elsewhere.
        environment: device and library versions.
        created: UTC, ISO 8601.
        ceilings: scorer to `sentence` and `means` of what its OCR reads of clean pictures.
        open_picture: the picture of a cell, or None where it is gone.
    """

    suite: Suite
    contenders: tuple[Contender, ...]
    cells: tuple[Cell, ...]
    scorers: tuple[ScorerFacts, ...]
    seeds: int
    base_seed: int = 0
    paired: bool = True
    weights: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    ceilings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    open_picture: OpenPicture | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the contenders, in order."""
        return tuple(each.name for each in self.contenders)

    def by_function(self, name: str) -> bool:
        """Whether a contender drew by a function of a program, which no file holds."""
        return not any(cell.recipe for cell in self.cells if cell.contender == name)

    def picture(self, cell: Cell) -> Image.Image | None:
        """The picture of a cell, or None where there is none; of a loaded run a reduced one."""
        return None if cell.error or self.open_picture is None else self.open_picture(cell)

    def prompt(self, cell: Cell) -> Prompt:
        """The row of the suite that a cell was drawn for."""
        return {each.id: each for each in self.suite.prompts}[cell.prompt_id]

    def frame(self) -> pd.DataFrame:
        """One row for each picture, scorer and metric, with the columns `COLUMNS`.

        `value` is missing where the prompt does not ask for the metric, and where `error` says why there is none.
        """
        import pandas as pd

        prompts = {each.id: each for each in self.suite.prompts}
        rows = []
        for cell in self.cells:
            prompt = prompts[cell.prompt_id]
            head = (self.suite.name, prompt.id, prompt.kind, prompt.group, cell.contender, cell.seed, cell.digest)
            for scorer in self.scorers:
                score = cell.scores.get(scorer.name)
                error = cell.error or (score.error if score else "not scored")
                for metric in scorer.metrics:
                    value = score.values.get(metric.name) if score and not error else None
                    rows.append(
                        (*head, cell.picture_digest, scorer.name, scorer.version, metric.name, metric.direction, value,
                         error, cell.seconds)
                    )  # fmt: skip
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        return table.astype({"value": "float64", "seconds": "float64", "seed": "int64"})

    def save(self, folder: str | Path) -> list[Path]:
        """Write the run into a folder; see `evals.running.files.save_run`."""
        from evals.running.files import save_run

        return save_run(self, Path(folder))
