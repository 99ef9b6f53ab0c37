"""Run a grid: validate everything, say what it costs, compute what the store does not hold."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.errors import Cancelled
from workbench.grid.plan import Plan
from workbench.grid.result import GridResult, OnShot, Shot

if TYPE_CHECKING:
    from PIL.Image import Image

    from workbench.engine.events import CancelToken, Listener, Result
    from workbench.grid.grid import Grid
    from workbench.session import Session

KEEP_BYTES = 1 << 30
"""Pictures beyond this many bytes are not kept in memory but read from the store when they are needed."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run will do."""

    cells: int
    skipped: int  # of the cells
    pictures: int  # recipes, one per seed and cell
    unique: int  # distinct pictures among them
    stored: int  # of these, already in the store
    seconds: float | None  # for the rest; None when the model has no history here
    bytes: int  # on disk, for the rest

    @property
    def missing(self) -> int:
        """Pictures to compute."""
        return self.unique - self.stored

    def as_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return asdict(self) | {"missing": self.missing}

    def __str__(self) -> str:
        holes = f" ({self.skipped:,} skipped)" if self.skipped else ""
        shared = f", {self.unique:,} distinct" if self.unique < self.pictures else ""
        amount = f"{counted(self.cells, 'cell')}{holes}, {counted(self.pictures, 'picture')}{shared}"
        text = f"{amount}, {self.stored:,} stored already"
        if not self.missing:
            return f"{text}; nothing to compute"
        duration = "unknown time" if self.seconds is None else f"about {format_seconds(self.seconds)}"
        return f"{text}; {self.missing:,} to compute, {duration}, {format_bytes(self.bytes)}"


def summarise(plan: Plan, session: Session) -> Summary:
    """What running a resolved plan would cost."""
    estimate = session.estimate([cell.recipes[seed] for cell, seed in plan.run_order])
    skipped = sum(cell.skipped for cell in plan.cells)
    return Summary(
        len(plan.cells), skipped, plan.pictures, estimate.unique, estimate.stored, estimate.seconds, estimate.bytes
    )


def run(
    grid: Grid,
    session: Session | None,
    *,
    listen: Listener | None = None,
    cancel: CancelToken | None = None,
    on_cell: OnShot | None = None,
    previews: bool = False,
) -> GridResult:
    """See `Grid.run`."""
    if session is None:
        from workbench.session import Session

        session = Session()
    plan = grid.expand(session.catalog)
    shots = {
        (cell.index, seed): Shot(cell.index, seed, cell.recipes[seed], cell.resolved[seed].digest)
        for cell, seed in plan.run_order
    }
    keys = list(shots)
    kept: dict[str, Image] = {}
    room = KEEP_BYTES
    started, cancelled = time.monotonic(), False
    try:
        recipes = [shot.recipe for shot in shots.values()]
        for result in session.run(recipes, listen=listen, cancel=cancel, previews=previews):
            shot = _shot(shots[keys[result.index]], result, kept)
            if on_cell is not None:
                on_cell(shot)
            if shot.picture is not None and shot.digest not in kept:
                room -= shot.picture.width * shot.picture.height * 3
                if room >= 0:
                    kept[shot.digest] = shot.picture
                else:
                    shot = replace(shot, picture=None)
            shots[keys[result.index]] = shot
    except Cancelled:
        cancelled = True
    return GridResult(grid, plan, shots, session.store, cancelled, time.monotonic() - started)


def counted(number: int, noun: str) -> str:
    """For people: `1 cell`, `1,200 cells`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_seconds(seconds: float) -> str:
    """For people: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def format_bytes(size: int) -> str:
    """For people: `120 kB`, `3.4 MB`, `1.2 GB`."""
    if size < 1e6:
        return f"{max(1, round(size / 1e3))} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _shot(planned: Shot, result: Result, kept: dict[str, Image]) -> Shot:
    """`planned` with its outcome; equal pictures are one object in memory."""
    return replace(
        planned,
        status="failed" if result.error is not None else "done",
        picture=kept.get(planned.digest, result.picture) if result.error is None else None,
        error=result.error,
        seconds=result.seconds,
        reused=result.reused,
        warnings=result.warnings,
        environment=result.environment,
    )
