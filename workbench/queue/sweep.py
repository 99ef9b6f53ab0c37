"""`Sweep`: zip x product x runs over a base recipe.

Axes are those of a grid, with everything they can change: fields, models, adapters and their weights, pictures, texts in
the prompt, several fields at once. Axes that are zipped advance together, all others are combined with each other, and
`runs` repeats the whole with other seeds.

    Sweep(
        {"prompt": "a red circle"},
        [{"field": "model", "values": ["a", "b"]},
         {"zip": [{"field": "prompt", "values": ["x", "y"]}, {"field": "seed", "values": [1, 2]}]}],
        runs=3,
    )
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import nearest
from workbench.grid.axis import Axis, WeightAxis, changed_fields, cost, default_title, parse_axis
from workbench.grid.edits import apply
from workbench.grid.values import Edit, length, values_of
from workbench.queue.errors import QueueError
from workbench.queue.submit import MAX_JOBS
from workbench.recipe import Recipe

FORMAT = 1
KEYS = ("sweep", "title", "base", "axes", "runs")
SEEDS = 2**63  # seeds are below


@dataclass(frozen=True, slots=True)
class Group:
    """Axes that advance together: one place sets a value of each."""

    places: tuple[tuple[Edit, ...], ...]
    labels: tuple[str, ...]
    cost: int  # how dear a change along it is


class Sweep:
    """Many recipes, written as axes.

    Args:
        base: a recipe, or its fields as a mapping.
        axes: axes as those of a grid, or `{"zip": [axis, axis, ...]}` with lists of equal length.
        runs: how often the whole is repeated; each run after the first has other seeds.
        title: of the batch.

    Raises:
        QueueError: lists of unequal length, one field changed twice, too many jobs, seeds beyond 2^63 - 1.
        GridError: an axis or a value that does not fit its field.
        RecipeError: the base is wrong.
    """

    def __init__(
        self,
        base: Recipe | Mapping[str, Any],
        axes: Sequence[Axis | Mapping[str, Any]] = (),
        *,
        runs: int = 1,
        title: str = "",
    ) -> None:
        self.base = base if isinstance(base, Recipe) else Recipe.parse(dict(base))
        self.title = title
        self.runs = _runs(runs)
        written = [_zipped(entry, number) for number, entry in enumerate(axes, start=1)]
        _check_size([length(group[0]) for group in written], runs)
        _check_fields([axis for group in written for axis in group])
        self.groups = tuple(_group(group) for group in written)
        self._stride = _stride([axis for group in written for axis in group])
        highest = max((recipe.seed for recipe, _ in self._run(0)), default=0)
        if highest + self._stride * (runs - 1) >= SEEDS:
            raise QueueError("The seeds of the last run are above 2^63 - 1.", "Take fewer runs, or smaller seeds.")

    @classmethod
    def from_yaml(cls, text: str) -> Sweep:
        """Read a sweep from YAML (or JSON): `sweep: 1`, `base`, `axes`, `runs`, `title`.

        Raises:
            QueueError: the text is no sweep, or as the constructor.
        """
        try:
            values = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise QueueError(f"The sweep is not valid YAML: {' '.join(str(error).split())}.") from None
        if not isinstance(values, dict):
            raise QueueError("A sweep is a mapping.", "Begin with 'sweep: 1', 'base:' and 'axes:'.")
        for key in values:
            if key not in KEYS:
                raise QueueError(f"A sweep has no key {key!r}.", nearest(str(key), KEYS))
        if values.get("sweep") != FORMAT:
            raise QueueError(f"The sweep has format {values.get('sweep')!r}.", f"This version reads 'sweep: {FORMAT}'.")
        base, axes, title = values.get("base") or {}, values.get("axes") or [], values.get("title") or ""
        kinds: dict[str, tuple[Any, type]] = {"base": (base, dict), "axes": (axes, list), "title": (title, str)}
        for key, (value, kind) in kinds.items():
            if not isinstance(value, kind):
                raise QueueError(f"The sweep's {key} cannot be {value!r}.", "See docs/queue.md for an example.")
        return cls(base, axes, runs=values.get("runs", 1), title=title)

    @classmethod
    def from_file(cls, path: str | Path) -> Sweep:
        """Read a sweep from a YAML file.

        Raises:
            QueueError: the file cannot be read, or as `from_yaml`.
        """
        try:
            return cls.from_yaml(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise QueueError(f"The sweep file {str(path)!r} cannot be read: {error}.", "Check the path.") from None

    def __len__(self) -> int:
        return math.prod(len(group.places) for group in self.groups) * self.runs

    def expand(self) -> list[tuple[Recipe, str]]:
        """Every recipe with a title, in the order to run: run by run, dear axes outermost so that models swap rarely."""
        return [entry for run in range(self.runs) for entry in self._run(run)]

    def _run(self, run: int) -> Iterator[tuple[Recipe, str]]:
        ordered = sorted(range(len(self.groups)), key=lambda place: -self.groups[place].cost)
        for at in itertools.product(*(range(len(self.groups[place].places)) for place in ordered)):
            chosen = sorted(zip(ordered, at, strict=True))  # the axes as written, so that later ones win nowhere
            recipe = apply(self.base, [edit for group, place in chosen for edit in self.groups[group].places[place]])
            labels = [self.groups[group].labels[place] for group, place in chosen]
            if run:
                recipe = recipe.model_copy(update={"seed": recipe.seed + run * self._stride})
            if self.runs > 1:
                labels.append(f"Run = {run + 1}")
            yield recipe, ", ".join(labels) or recipe.prompt or "(no prompt)"


def _runs(runs: object) -> int:
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 1:
        raise QueueError(f"The runs cannot be {runs!r}.", "Give a whole number of at least 1.")
    return runs


def _zipped(entry: Axis | Mapping[str, Any], number: int) -> list[Axis]:
    """The axes of one entry: several where they are zipped."""
    if not isinstance(entry, Mapping) or "zip" not in entry:
        return [parse_axis(entry, number)]
    inner = entry["zip"]
    if len(entry) > 1 or not isinstance(inner, (list, tuple)) or len(inner) < 2:
        raise QueueError(
            f"The zip of axis {number} is no list of axes.", "Write 'zip:' with two axes or more below it."
        )
    axes = [parse_axis(axis, number) for axis in inner]
    if len(set(lengths := [length(axis) for axis in axes])) > 1:
        told = ", ".join(f"{default_title(axis)} {size}" for axis, size in zip(axes, lengths, strict=True))
        raise QueueError(f"The zipped axes have unequal lengths: {told}.", "Give each as many values as the others.")
    if any(axis.skip for axis in axes):
        raise QueueError(f"A zipped axis of axis {number} skips values.", "Leave them out of all its lists.")
    return axes


def _group(axes: list[Axis]) -> Group:
    columns = [values_of(axis, repeats=len(axes) > 1) for axis in axes]
    rows = [row for row in zip(*columns, strict=True) if not row[0].skipped]
    if not rows:
        raise QueueError(f"Every value of the axis {default_title(axes[0])!r} is skipped.", "Take a skip away.")
    titles = [default_title(axis) for axis in axes]
    return Group(
        tuple(tuple(value.edit for value in row) for row in rows),
        tuple(", ".join(f"{title} = {v.label}" for title, v in zip(titles, row, strict=True)) for row in rows),
        max(cost(axis) for axis in axes),
    )


def _stride(axes: list[Axis]) -> int:
    """How far the seeds of two runs are apart: as far as the axes spread them, so that no run repeats another's."""
    seeds = [
        edit.fields["seed"]
        for axis in axes
        if "seed" in changed_fields(axis)
        for value in values_of(axis, repeats=True)
        if "seed" in (edit := value.edit).fields
    ]
    return max(seeds) - min(seeds) + 1 if seeds else 1


def _check_fields(axes: list[Axis]) -> None:
    owners: dict[str, str] = {}
    for axis in axes:
        title = default_title(axis)
        weight = (f"the weight of {axis.adapter or 'all adapters'}",) if isinstance(axis, WeightAxis) else ()
        for name in (*changed_fields(axis), *weight):
            if name in owners:
                raise QueueError(f"The axes {owners[name]!r} and {title!r} both change {name}.", "Join them into one.")
            owners[name] = title


def _check_size(lengths: list[int], runs: int) -> None:
    """Refuse a huge sweep by arithmetic alone."""
    total = math.prod(lengths) * runs
    if total > MAX_JOBS:
        product = " × ".join(f"{size:,}" for size in (*lengths, runs))
        raise QueueError(f"The sweep has {total:,} jobs ({product}), more than {MAX_JOBS:,}.", "Take fewer values.")
