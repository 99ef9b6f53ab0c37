"""A grid with all its cells: what stands where, and in which order it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.errors import GridError, nearest
from workbench.grid.values import Value, matches
from workbench.recipe import Recipe, ResolvedRecipe


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
