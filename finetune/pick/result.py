"""The outcome of a pick: in a sentence, as a table, as a figure, and as files that say how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.running import EvalRun
from evals.statistics import Difference, Estimate
from finetune.pick.candidates import Candidate, checkpoint_grid
from finetune.pick.choose import Choice, Judged, Values
from finetune.pick.config import PickConfig
from finetune.pick.words import sentences
from finetune.runfolder import RunFolder
from workbench.recipe import dump_yaml
from workbench.store.files import make_folder, write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from workbench.grid import Grid
    from workbench.models.catalog import ModelCatalog


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The choice measured again, with seeds that had no part in choosing it."""

    gain: Difference
    loss: Difference | None
    drift: Estimate


@dataclass(frozen=True, slots=True)
class Picked:
    """Everything that a pick found out."""

    run: RunFolder
    config: PickConfig
    model: str
    choice: Choice
    confirmed: Confirmed | None
    adapters: Mapping[int, Path]  # exported adapter of each checkpoint
    target: Values
    control: Values | None
    on_target: EvalRun
    on_control: EvalRun

    @property
    def keep(self) -> Candidate | None:
        """The checkpoint and weight to keep, or None."""
        return self.choice.keep.candidate if self.choice.keep else None

    @property
    def adapter(self) -> dict[str, Any] | None:
        """The adapter to keep as a recipe names it, or None."""
        return {"name": str(self.adapters[self.keep.step]), "weight": self.keep.weight} if self.keep else None

    @property
    def sentences(self) -> list[str]:
        """What was found, in words; the first says what to keep."""
        return sentences(self)

    @property
    def sentence(self) -> str:
        """All of `sentences` in one paragraph."""
        return " ".join(self.sentences)

    def frame(self) -> pd.DataFrame:
        """One row for each candidate: means, gain over the base with interval and p, drift, and the verdicts."""
        import pandas as pd

        return pd.DataFrame([_row(each, self.choice) for each in self.choice.judged])

    def figure(self) -> Figure:
        """Gain over the base by checkpoint and weight, and gain against drift."""
        from finetune.pick.figure import draw

        return draw(self)

    def _repr_html_(self) -> str:
        """In a notebook: what was found, and the figure."""
        from finetune.pick.page import figure_source

        lines = "".join(f"<p>{escape(each)}</p>" for each in self.sentences)
        return f'{lines}<img src="{figure_source(self)}" style="max-width: 100%" alt="gain and drift">'

    def grid(self, prompt: str, catalog: ModelCatalog, *, seed: int = 0) -> Grid:
        """A grid of the checkpoints and weights on a prompt of your own."""
        recipe = {"model": self.model, "prompt": prompt, "seed": seed, **self.config.fields}
        return checkpoint_grid(self.run, recipe, catalog, steps=list(self.adapters), weights=self.config.weights)

    def save(self, folder: Path | None = None) -> list[Path]:
        """Write pick.html, pick.yaml, pick.csv, and the scores and small pictures of both runs.

        Args:
            folder: default: `pick` in the run's folder.

        Raises:
            StoreError: it cannot be written.
        """
        from finetune.pick.page import render

        folder = folder or self.run.path / "pick"
        make_folder(folder)
        parts = [*self.on_target.save(folder / "target"), *self.on_control.save(folder / "control")]
        contents = {
            "pick.csv": self.frame().to_csv(index=False).encode(),
            "pick.html": render(self).encode(),
            "pick.yaml": dump_yaml(self.facts()).encode(),
        }
        for name, content in contents.items():
            write_atomically(folder / name, content)
        return [*(folder / name for name in contents), *parts]

    def facts(self) -> dict[str, Any]:
        """The outcome as plain values, with the command that makes it again."""
        confirmed = self.confirmed
        return {
            "run": self.run.name,
            "again": f"finetune pick {self.run.name} --config pick.yaml",
            "keep": None if self.keep is None else {"step": self.keep.step, "weight": self.keep.weight},
            "findings": self.sentences,
            "model": self.model,
            "config": self.config.model_dump(mode="json"),
            "adapters": {step: path.name for step, path in self.adapters.items()},
            "confirmed": None
            if confirmed is None
            else {
                "gain": asdict(confirmed.gain),
                "loss": asdict(confirmed.loss) if confirmed.loss else None,
                "drift": asdict(confirmed.drift),
            },
            "candidates": [_row(each, self.choice) for each in self.choice.judged],
        }


def _row(judged: Judged, choice: Choice) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": judged.candidate.step,
        "weight": judged.candidate.weight,
        "score": judged.target.value,
        "gain": judged.gain.value,
        "gain_low": judged.gain.low,
        "gain_high": judged.gain.high,
        "p_adjusted": judged.gain.p_adjusted,
        "drift": judged.drift.value,
        "drift_low": judged.drift.low,
        "drift_high": judged.drift.high,
        "control": judged.control.value if judged.control else None,
        "control_change": judged.loss.value if judged.loss else None,
        "control_low": judged.loss.low if judged.loss else None,
        "control_high": judged.loss.high if judged.loss else None,
    }
    return row | {"verdict": verdict(judged, choice)}


def verdict(judged: Judged, choice: Choice) -> str:
    """One word or two about a candidate."""
    if judged is choice.keep:
        return "keep"
    if not judged.admissible:
        return "harms the control"
    if judged.tied and judged.gain.better:
        return "as good"
    return "better than the base" if judged.gain.better else "no gain shown"
