"""From axes to recipes: every cell, its recipes, and the order that swaps models rarely.

How many pictures a grid has is computed before the first cell is made. Nothing here depends on the order of the axes
except the numbering of the cells: fields of different axes are disjoint, and all search texts are replaced in one pass.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.errors import GridError, WorkbenchError, nearest
from workbench.grid.axis import PROMPTS, AdapterAxis, Axis, WeightAxis, changed_fields, cost, default_title
from workbench.grid.values import Edit, Value, length, matches, values_of
from workbench.recipe import Adapter, Catalog, Recipe, ResolvedRecipe, resolve

MAX_PICTURES = 100_000
"""The most pictures of one grid, unless the grid says otherwise."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One axis with its title and its values."""

    title: str
    values: tuple[Value, ...]
    cost: int  # how dear a change along this axis is

    def __len__(self) -> int:
        return len(self.values)

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands beside the rows or columns."""
        return tuple(value.label for value in self.values)

    def find(self, wanted: object) -> int:
        """The place of `wanted`, a label or a value.

        Raises:
            GridError: it is not on this axis.
        """
        for place, value in enumerate(self.values):
            if matches(value, wanted):
                return place
        raise GridError(f"{wanted!r} is not on the axis {self.title!r}.", nearest(str(wanted), self.labels))


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of the grid with one recipe per seed, or a hole."""

    index: int  # place in `Plan.cells`
    at: tuple[int, ...]  # place on each axis, in the order of the axes
    recipes: tuple[Recipe, ...]  # one per seed; empty where the cell is skipped
    resolved: tuple[ResolvedRecipe, ...] = ()  # as `recipes`; empty when expanded without a catalog

    @property
    def skipped(self) -> bool:
        """Whether this is a hole."""
        return not self.recipes


@dataclass(frozen=True)
class Plan:
    """A grid with all its cells, in the order of the axes: the last axis runs fastest."""

    title: str
    base: Recipe
    dimensions: tuple[Dimension, ...]
    seeds: tuple[int, ...]  # side by side in every cell; empty where an axis sets the seed
    cells: tuple[Cell, ...]
    replaced: tuple[str, ...] = ()  # search texts of the replace axes

    def cell(self, at: Sequence[int]) -> Cell:
        """The cell at a place on each axis."""
        index = 0
        for dimension, place in zip(self.dimensions, at, strict=True):
            index = index * len(dimension) + place
        return self.cells[index]

    @property
    def seeds_per_cell(self) -> int:
        """Pictures in one cell, at least 1."""
        return max(1, len(self.seeds))

    @property
    def pictures(self) -> int:
        """Pictures in all cells; those that share a digest count each."""
        return sum(len(cell.recipes) for cell in self.cells)

    @cached_property
    def run_order(self) -> tuple[tuple[Cell, int], ...]:
        """(cell, place among its seeds) in the order to run: dear axes outermost, ties as written, seeds innermost."""
        by_cost = sorted(range(len(self.dimensions)), key=lambda place: -self.dimensions[place].cost)
        cells = sorted(self.cells, key=lambda cell: tuple(cell.at[place] for place in by_cost))
        return tuple((cell, seed) for cell in cells for seed in range(len(cell.recipes)))

    def describe(self, cell: Cell) -> str:
        """Where a cell is, as `Steps = 4, Colour = red`."""
        pairs = zip(self.dimensions, cell.at, strict=True)
        return ", ".join(f"{dimension.title} = {dimension.labels[place]}" for dimension, place in pairs)

    @cached_property
    def fixed(self) -> dict[str, Any]:
        """The recipe fields that are the same in every picture, with the values that the model fills in."""
        recipes = [r.recipe for cell in self.cells for r in cell.resolved] or [
            recipe for cell in self.cells for recipe in cell.recipes
        ]
        first = recipes[0]
        empty = (None, "", ())
        return {
            name: value
            for name in type(first).model_fields
            if (value := getattr(first, name)) not in empty
            and all(getattr(recipe, name) == value for recipe in recipes)
        }


def dimensions_of(axes: Sequence[Axis]) -> tuple[Dimension, ...]:
    """All axes with their values.

    Raises:
        GridError: no axis, one title twice, one field on two axes, or as `values_of`.
    """
    if not axes:
        raise GridError("The grid has no axis.", "Add one, for example 'field: steps' with 'values: 4-28 [4]'.")
    owners: dict[str, str] = {}
    dimensions: list[Dimension] = []
    for axis in axes:
        values = values_of(axis)
        title = default_title(axis)
        for name in _claims(axis):
            if name in owners:
                raise GridError(
                    f"The axes {owners[name]!r} and {title!r} both change {name}.", "Join them into one axis."
                )
            owners[name] = title
        if title in [other.title for other in dimensions]:
            raise GridError(f"Two axes are called {title!r}.", "Give each a title of its own, or join them.")
        dimensions.append(Dimension(title, values, cost(axis)))
    return tuple(dimensions)


def expand(
    base: Recipe,
    axes: Sequence[Axis],
    *,
    seeds: Sequence[int] | None = None,
    skip: Sequence[Mapping[str, Any]] = (),
    title: str = "",
    catalog: Catalog | None = None,
    max_pictures: int = MAX_PICTURES,
) -> Plan:
    """Make every cell of a grid.

    Args:
        base: what all cells share.
        axes: at least one.
        seeds: noise seeds of every cell; None takes the base's.
        skip: combinations to leave out, each a mapping from axis titles to a value or a list of values.
        title: the grid's own.
        catalog: where given, every recipe is resolved, so that a size that a model cannot draw is found now.
        max_pictures: a larger grid is refused.

    Raises:
        GridError: as `dimensions_of`; too many pictures; seeds beside a seed axis; an absent search text; nothing left
            after skips; a recipe that does not resolve, with the place of its cell.
    """
    _check_size(axes, seeds, max_pictures)
    dimensions = dimensions_of(axes)
    if seeds is not None and any("seed" in changed_fields(axis) for axis in axes):
        raise GridError("The grid has seeds for every cell and an axis that sets the seed.", "Keep one of the two.")
    _check_weights(base, axes)
    holes = [_hole(dimensions, combination) for combination in skip]
    own_seeds: tuple[int, ...] = tuple(seeds) if seeds is not None else (base.seed,)
    if any("seed" in changed_fields(axis) for axis in axes):
        own_seeds = ()
    cells = []
    for index, at in enumerate(itertools.product(*(range(len(dimension)) for dimension in dimensions))):
        chosen = [dimension.values[place] for dimension, place in zip(dimensions, at, strict=True)]
        skipped = any(value.skipped for value in chosen) or any(
            all(at[place] in places for place, places in hole.items()) for hole in holes
        )
        recipes: tuple[Recipe, ...] = ()
        if not skipped:
            recipe = apply(base, [value.edit for value in chosen])
            recipes = tuple(recipe.model_copy(update={"seed": seed}) for seed in own_seeds) or (recipe,)
        cells.append(Cell(index, at, recipes))
    if all(cell.skipped for cell in cells):
        raise GridError("Every cell of the grid is skipped.", "Take a skip away.")
    replaced = tuple(dict.fromkeys(v.edit.replacement[0] for d in dimensions for v in d.values if v.edit.replacement))
    plan = Plan(title, base, dimensions, own_seeds, tuple(cells), replaced)
    return plan if catalog is None else resolve_plan(plan, catalog)


def resolve_plan(plan: Plan, catalog: Catalog) -> Plan:
    """`plan` with every recipe resolved.

    Raises:
        GridError: a recipe that does not resolve, with the place of its cell.
    """
    cells = []
    for cell in plan.cells:
        try:
            resolved = tuple(resolve(recipe, catalog) for recipe in cell.recipes)
        except WorkbenchError as error:
            raise GridError(f"The cell {plan.describe(cell)}: {error.message}", error.remedy) from None
        cells.append(Cell(cell.index, cell.at, cell.recipes, resolved))
    return Plan(plan.title, plan.base, plan.dimensions, plan.seeds, tuple(cells), plan.replaced)


def apply(base: Recipe, edits: Sequence[Edit]) -> Recipe:
    """`base` with all `edits`: fields, then adapters, then weights, then all search texts in one pass.

    The edits come from `values_of`, so their values are checked already.

    Raises:
        GridError: a search text that is in neither prompt, or one adapter twice.
    """
    changes: dict[str, Any] = {name: value for edit in edits for name, value in edit.fields.items()}
    adapters = list(changes.get("adapters", base.adapters))
    for edit in edits:
        adapters += edit.adapters or ()
    for edit in edits:
        if edit.weight is not None:
            name, weight = edit.weight
            if name is not None and all(adapter.name != name for adapter in adapters):
                adapters.append(Adapter(name=name, weight=weight))
            adapters = [
                Adapter(name=adapter.name, weight=weight) if name in (None, adapter.name) else adapter
                for adapter in adapters
            ]
    names = [adapter.name for adapter in adapters]
    for name in names:
        if names.count(name) > 1:
            raise GridError(f"A cell has the adapter {name!r} twice.", "Take it out of the base recipe or of the axis.")
    changes["adapters"] = tuple(adapters)
    replacements = dict(edit.replacement for edit in edits if edit.replacement is not None)
    if replacements:
        prompts = {name: changes.get(name, getattr(base, name)) for name in PROMPTS}
        changes |= _replace(prompts, replacements)
    return base.model_copy(update=changes)


def _replace(prompts: Mapping[str, str], replacements: Mapping[str, str]) -> dict[str, str]:
    """All search texts in one pass, longer ones first, so that no replacement is replaced again."""
    pattern = re.compile("|".join(re.escape(text) for text in sorted(replacements, key=len, reverse=True)))
    found: set[str] = set()

    def swap(match: re.Match[str]) -> str:
        found.add(match[0])
        return replacements[match[0]]

    replaced = {name: pattern.sub(swap, text) for name, text in prompts.items()}
    for text in replacements:
        if text not in found:
            raise GridError(
                f"The search text {text!r} is neither in the prompt {prompts['prompt']!r} nor in the negative prompt.",
                "Write it exactly as it stands there.",
            )
    return replaced


def _check_size(axes: Sequence[Axis], seeds: Sequence[int] | None, limit: int) -> None:
    """Refuse a huge grid by arithmetic alone, before its values are looked at."""
    sizes = [length(axis) for axis in axes] + ([len(seeds)] if seeds else [])
    if (total := math.prod(sizes)) > limit:
        raise GridError(
            f"The grid has {total:,} pictures ({' × '.join(f'{size:,}' for size in sizes)}), more than {limit:,}.",
            "Take fewer values, or raise max_pictures.",
        )


def _claims(axis: Axis) -> tuple[str, ...]:
    """What only one axis may change."""
    if isinstance(axis, WeightAxis):
        return (f"the weight of {axis.adapter or 'all adapters'}",)
    return changed_fields(axis)


def _check_weights(base: Recipe, axes: Sequence[Axis]) -> None:
    weights = [axis for axis in axes if isinstance(axis, WeightAxis) and axis.adapter is None]
    has_adapter = bool(base.adapters) or any(
        isinstance(axis, AdapterAxis) or "adapters" in changed_fields(axis) for axis in axes
    )
    if weights and not has_adapter:
        raise GridError(
            f"The axis {default_title(weights[0])!r} has no adapter to weigh.", "Name one with 'adapter: NAME'."
        )


def _hole(dimensions: Sequence[Dimension], combination: Mapping[str, Any]) -> dict[int, set[int]]:
    """A skip combination as places: axis number -> places on it."""
    titles = [dimension.title for dimension in dimensions]
    if not combination:
        raise GridError(f"The skip {combination!r} names no axis.", f"Write for example '{titles[0]}: VALUE'.")
    hole = {}
    for title, wanted in combination.items():
        if title not in titles:
            raise GridError(f"The skip names the axis {title!r}, which the grid has not.", nearest(str(title), titles))
        place = titles.index(title)
        options = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        hole[place] = {dimensions[place].find(option) for option in options}
    return hole
