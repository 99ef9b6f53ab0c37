"""The grid as a picture wall: axes and states as light traits, pixels on demand.

A state is one letter per picture, so that a grid of ten thousand cells is ten kilobytes a message and not a megabyte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import traitlets
from PIL import Image

from workbench.panels.banner import Banner
from workbench.panels.pixels import HERE, PixelWidget, javascript

if TYPE_CHECKING:
    from workbench.grid.plan import Plan
    from workbench.grid.result import Shot

PENDING, RUNNING, DONE, REUSED, FAILED, HOLE = "prdufh"


class GridView(PixelWidget):
    """Shows one grid at a time.

    The place of a picture is `cell * seeds per cell + seed`. Nothing here computes or stores: `show_plan` says what there
    is, `mark` and `preview` what happens to it.

    Args:
        picture: gives the picture of a place, or None when there is none (yet).
        banner: shows what goes wrong while a message is handled.
    """

    _esm = javascript("grid_view.js")
    _css = HERE / "grid_view.css"
    grid = traitlets.Dict().tag(sync=True)  # {run, axes: [{title, labels}], seeds: [label]}
    states = traitlets.Unicode("").tag(sync=True)  # one letter per place
    errors = traitlets.Dict().tag(sync=True)  # place -> sentence
    view = traitlets.Dict().tag(sync=True)  # set by the browser: {x, y, at, size}
    selected = traitlets.Int(-1).tag(sync=True)  # place of the open picture; -1 for none

    def __init__(self, picture: Callable[[int], Image.Image | None], banner: Banner) -> None:
        self._picture = picture
        self._states: list[str] = []
        self._errors: dict[str, str] = {}
        super().__init__(self._of, banner)

    @property
    def run(self) -> int:
        """Number of the shown run; pictures of different runs never mix."""
        return int(self.grid.get("run", 0))

    def show_plan(self, plan: Plan) -> None:
        """Begin a new run of `plan`: all pictures waiting, holes where cells are left out."""
        each = plan.seeds_per_cell
        self._states = [HOLE if cell.skipped else PENDING for cell in plan.cells for _ in range(each)]
        self._errors = {}
        self._encoded.clear()
        axes = [{"title": dimension.title, "labels": list(dimension.labels)} for dimension in plan.dimensions]
        seeds = [str(seed) for seed in plan.seeds] if len(plan.seeds) > 1 else [""]
        with self.hold_sync():
            self.selected = -1
            self.grid = {"run": self.run + 1, "axes": axes, "seeds": seeds}
            self.flush()

    def mark(self, place: int, shot: Shot) -> None:
        """Note the outcome of one picture; `flush` sends it."""
        if shot.status == "failed":
            self._states[place] = FAILED
            self._errors[str(place)] = str(shot.error)
        else:
            self._states[place] = REUSED if shot.reused else DONE

    def running(self, place: int, preview: Image.Image | None) -> None:
        """Note that a picture is being made, and show its passing preview."""
        if self._states[place] == PENDING:
            self._states[place] = RUNNING
        if preview is not None and self._states[place] == RUNNING:
            self.push(f"{self.run}:{place}", preview)

    def stopped(self) -> None:
        """The run is over: what was being made is not any more."""
        self._states = [PENDING if state == RUNNING else state for state in self._states]

    def flush(self) -> None:
        """Send all marks in one message; nothing is sent when nothing changed."""
        with self.hold_sync():
            self.states = "".join(self._states)
            self.errors = dict(self._errors)

    def _of(self, identity: str) -> Image.Image | None:
        run, _, place = identity.partition(":")
        return self._picture(int(place)) if run == str(self.run) else None
