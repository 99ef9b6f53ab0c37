"""From axes to recipes: every cell, its recipes, and the order that swaps models rarely.

How many pictures a grid has is computed before the first cell is made. Nothing here depends on the order of the axes
except the numbering of the cells: fields of different axes are disjoint, and all search texts are replaced in one pass.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import GridError, WorkbenchError, nearest
from workbench.grid.axis import AdapterAxis, Axis, WeightAxis, changed_fields, cost, default_title
from workbench.grid.edits import apply
from workbench.grid.plan import Cell, Dimension, Plan
from workbench.grid.values import length, values_of
from workbench.recipe import Catalog, Recipe, resolve

MAX_PICTURES = 100_000
"""The most pictures of one grid, unless the grid says otherwise."""


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
