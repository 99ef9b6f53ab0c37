"""What a grid gave: one `Shot` per picture, counts, and the ways out (figure, page, table)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import GridError, WorkbenchError
from workbench.grid.plan import Cell, Plan
from workbench.recipe import Recipe

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from workbench.grid.grid import Grid
    from workbench.store import Store

Status = Literal["done", "failed", "pending"]


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of one cell, done, failed or still to do."""

    cell: int  # `Cell.index`
    seed: int  # place among the seeds of its cell, from 0
    recipe: Recipe
    digest: str
    status: Status = "pending"
    picture: Image | None = None  # None also where the picture is only kept in the store
    error: WorkbenchError | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)  # per stage
    reused: bool = False  # the store had it, or an equal recipe of this run made it
    warnings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


OnShot = Callable[[Shot], None]


@dataclass(frozen=True)
class GridResult:
    """The outcome of `Grid.run`."""

    grid: Grid
    plan: Plan  # resolved
    shots: Mapping[tuple[int, int], Shot]  # (cell, place among its seeds) -> shot; holes have none
    store: Store | None = None  # where pictures that are not in memory are read from
    cancelled: bool = False
    seconds: float = 0.0  # wall time of the run

    @property
    def computed(self) -> int:
        """Distinct pictures that this run made."""
        return len(self._made)

    @property
    def reused(self) -> int:
        """Distinct pictures that the store had already."""
        return len({shot.digest for shot in self._with("done")} - self._made)

    @property
    def failed(self) -> int:
        """Distinct pictures that could not be made."""
        return len({shot.digest for shot in self._with("failed")})

    @property
    def pending(self) -> int:
        """Distinct pictures that a cancel left to do."""
        return len({shot.digest for shot in self._with("pending")})

    @property
    def errors(self) -> dict[str, str]:
        """What went wrong, by the place of the cell."""
        return {self.place(shot): str(shot.error) for shot in self._with("failed")}

    def cell_shots(self, cell: Cell) -> tuple[Shot, ...]:
        """The shots of a cell, one per seed; empty where the cell is skipped."""
        return tuple(self.shots[cell.index, seed] for seed in range(len(cell.recipes)))

    def picture(self, shot: Shot) -> Image:
        """The picture of a shot that is done, from memory or from the store.

        Raises:
            GridError: it is not done.
            StoreError: its file is gone or damaged.
        """
        if shot.picture is not None:
            return shot.picture
        stored = self.store.get(shot.digest) if self.store is not None else None
        if shot.status != "done" or stored is None:
            raise GridError(f"The cell {self.place(shot)} has no picture.", "Run the grid again.")
        return stored.open()

    def place(self, shot: Shot) -> str:
        """Where a shot is, as `Steps = 4, Colour = red, seed 7`."""
        return f"{self.plan.describe(self.plan.cells[shot.cell])}, seed {shot.recipe.seed}"

    def figure(self, *, only: Mapping[str, Any] | None = None, zoom: int | None = None) -> Figure:
        """The labelled grid as a matplotlib figure; see `workbench.grid.figure.draw`."""
        from workbench.grid.figure import draw

        return draw(self, only=only, zoom=zoom)

    def save_png(self, path: str | Path, *, only: Mapping[str, Any] | None = None, zoom: int | None = None) -> Path:
        """Write the labelled grid as a PNG that carries the grid's YAML, so that it can be run again.

        Raises:
            GridError: it would be too large; `save` then writes several.
            StoreError: the file cannot be written.
        """
        from workbench.grid.figure import save

        return save(self, Path(path), only=only, zoom=zoom)

    def save_html(self, path: str | Path) -> Path:
        """Write one self-contained page.

        Raises:
            StoreError: the file cannot be written.
        """
        from workbench.grid.page import render
        from workbench.store import write_atomically

        write_atomically(Path(path), render(self).encode())
        return Path(path)

    def frame(self) -> pandas.DataFrame:
        """A tidy table, one row per picture; see `workbench.grid.table.frame`."""
        from workbench.grid.table import frame

        return frame(self)

    def save(self, out: str | Path) -> list[Path]:
        """Write grid.png (or grid-1.png, grid-2.png, ... where one would be too large), grid.html, cells.parquet, grid.yaml.

        Args:
            out: a folder; made where it is missing.

        Raises:
            StoreError: the folder cannot be written.
        """
        from workbench.grid.figure import pages
        from workbench.grid.table import save_parquet
        from workbench.store import write_atomically
        from workbench.store.files import make_folder

        folder = Path(out)
        make_folder(folder)
        parts = pages(self)
        names = ["grid.png"] if len(parts) == 1 else [f"grid-{number}.png" for number in range(1, len(parts) + 1)]
        files = [self.save_png(folder / name, only=part) for name, part in zip(names, parts, strict=True)]
        files.append(self.save_html(folder / "grid.html"))
        files.append(save_parquet(self, folder / "cells.parquet"))
        write_atomically(folder / "grid.yaml", self.grid.to_yaml().encode())
        return [*files, folder / "grid.yaml"]

    def as_dict(self) -> dict[str, Any]:
        """Counts and errors, ready for JSON."""
        return {
            "cells": len(self.plan.cells),
            "pictures": self.plan.pictures,
            "computed": self.computed,
            "reused": self.reused,
            "failed": self.failed,
            "pending": self.pending,
            "cancelled": self.cancelled,
            "seconds": round(self.seconds, 3),
            "errors": self.errors,
        }

    @property
    def _made(self) -> set[str]:
        return {shot.digest for shot in self._with("done") if not shot.reused}

    def _with(self, status: Status) -> Iterator[Shot]:
        return (shot for shot in self.shots.values() if shot.status == status)

    def __repr__(self) -> str:
        return f"<GridResult: {self.computed} computed, {self.reused} reused, {self.failed} failed>"
