"""What a pick chooses among: checkpoints of a run at several weights, as contenders of an evaluation and as a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.running.types import Contender
from finetune.export import export_checkpoint, steps_of
from finetune.pick.config import PickError
from finetune.runfolder import RunFolder
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.grid import Grid
    from workbench.models.catalog import ModelCatalog

MOST = 6  # checkpoints taken when none are named
BASE = "base"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One checkpoint at one weight."""

    step: int
    weight: float

    @property
    def name(self) -> str:
        """As tables and sentences call it."""
        return f"step {self.step} at {self.weight:g}"


def choose_steps(run: RunFolder, asked: Sequence[int]) -> list[int]:
    """The checkpoints to try: those asked for, or up to six of all, evenly spread and with the last.

    Raises:
        RunError: the run has no checkpoint.
        PickError: one that is asked for does not exist.
    """
    saved = steps_of(run)
    if missing := [step for step in asked if step not in saved]:
        known = ", ".join(map(str, saved))
        raise PickError(f"The run {run.name!r} has no checkpoint of step {missing[0]}.", f"It has these: {known}.")
    if asked:
        return sorted(set(asked))
    if len(saved) <= MOST:
        return saved
    return sorted({saved[round((index + 1) * len(saved) / MOST) - 1] for index in range(MOST)})


def exported(run: RunFolder, step: int, catalog: ModelCatalog) -> Path:
    """The portable adapter of a checkpoint, written once: its bytes decide which pictures are the same.

    Raises:
        WorkbenchError: as `export_checkpoint`.
    """
    path = run.path / "exports" / f"{run.name}-step-{step:06d}.safetensors"
    source = run.checkpoint(step) / "adapter.safetensors"
    if path.is_file() and source.is_file() and path.stat().st_mtime_ns >= source.stat().st_mtime_ns:
        return path
    return export_checkpoint(run, step, path, catalog)


def contenders(
    candidates: Sequence[Candidate], adapters: Mapping[int, Path], model: str, fields: Mapping[str, Any]
) -> list[Contender]:
    """The base first, then every candidate."""
    plain = {"model": model, **fields}
    found = [Contender(BASE, plain)]
    for each in candidates:
        adapter = {"name": str(adapters[each.step]), "weight": each.weight}
        found.append(Contender(each.name, {**plain, "adapters": [adapter]}))
    return found


def checkpoint_grid(
    run: RunFolder,
    recipe: Recipe | Mapping[str, Any],
    catalog: ModelCatalog,
    *,
    steps: Sequence[int] = (),
    weights: Sequence[float] = (0.6, 0.8, 1.0),
    seeds: int = 1,
) -> Grid:
    """A grid of checkpoints by weights, with the base's picture as the column of no adapter.

    Args:
        run: whose checkpoints are drawn.
        recipe: what all cells share.
        catalog: finds the model that was trained.
        steps: checkpoints; default: up to six, evenly spread.
        weights: rows.
        seeds: pictures of each cell.

    Raises:
        WorkbenchError: a checkpoint is missing, or the recipe is wrong.
    """
    from workbench.grid import Grid

    chosen = choose_steps(run, steps)
    base = recipe if isinstance(recipe, Recipe) else Recipe.parse(dict(recipe))
    if "model" not in base.model_fields_set:
        base = base.replace(model=run.config.model)
    adapters: list[Any] = [None, *(str(exported(run, step, catalog)) for step in chosen)]
    return Grid(
        base,
        [{"adapters": adapters}, {"weights": list(weights)}],
        seeds=seeds,
        title=f"{run.name}: checkpoints and weights",
    )
