"""X/Y grids: build axes, see what they cost, watch them fill, open a cell."""

from __future__ import annotations

import itertools
from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from PIL import Image

from workbench.engine.events import CancelToken, Finished, Step
from workbench.errors import GridError, WorkbenchError
from workbench.grid import Axis, FieldAxis, Grid, Plan, ReplaceAxis
from workbench.grid.run import Summary, format_seconds
from workbench.panels.base import Panel
from workbench.panels.detail import CellDetail
from workbench.panels.generation import GenerationPanel
from workbench.panels.grid_editor import GridEditor
from workbench.panels.grid_view import GridView
from workbench.panels.worker import Job
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.grid.result import GridResult, Shot
    from workbench.session import Session


def first_grid() -> Grid:
    """A small grid to begin with: one knob and one word."""
    axes: list[Axis] = [
        FieldAxis(field="guidance_scale", values="1, 4, 7"),
        ReplaceAxis(replace="red", values="red, green, blue"),
    ]
    return Grid(Recipe(prompt="a red circle on a white background"), axes)


class GridPanel(Panel):
    """Turn the knobs of one recipe into a labelled grid.

    Args:
        session: pictures and models; None takes the session that all panels without one share.
        grid: what the editors show first.
        generation: where "To the generation panel" sends a recipe; None opens one below the grid.
    """

    def __init__(
        self,
        session: Session | None = None,
        grid: Grid | None = None,
        *,
        generation: GenerationPanel | None = None,
    ) -> None:
        self._first, self.generation = grid, generation
        self.result: GridResult | None = None  # of the last run that ended
        self._plan: Plan | None = None  # of the run that is shown
        self._shots: dict[int, Shot] = {}  # place -> outcome, of the run that is shown
        self._places: dict[str, list[int]] = {}  # digest -> places that wait for it
        self._count = itertools.count()  # every piece of news that must not be replaced has a number
        super().__init__(session)
        self.add_class("wb-gridpanel")

    def build(self) -> list[widgets.Widget]:
        """Editors, summary and buttons, the wall, the open cell, files."""
        self.editor = GridEditor(self.session.catalog, self._first or first_grid(), self.banner)
        self.summary = widgets.HTML().add_class("wb-summary")
        self.run_button = widgets.Button(description="Run", icon="play", button_style="primary").add_class("wb-run")
        self.cancel_button = widgets.Button(description="Cancel", icon="stop", disabled=True).add_class("wb-cancel")
        self.cancel_button.tooltip = "Stop within one step. What is done is kept; Run goes on from there."
        self.progress = widgets.FloatProgress(max=1.0).add_class("wb-progress")
        self.status = widgets.HTML("Ready.").add_class("wb-status")
        self.view = GridView(self._picture, self.banner)
        self.detail = CellDetail(self._again, self._hand_over, self.banner)
        self.folder = widgets.Text("grid", layout=widgets.Layout(width="auto", flex="1 1 120px")).add_class("wb-file")
        self.folder.tooltip = "Folder for grid.png, grid.html, cells.parquet and grid.yaml."
        self.save_button = widgets.Button(description="Save grid", icon="save", disabled=True).add_class("wb-save")
        self.path = widgets.HTML().add_class("wb-path")
        self._below = widgets.VBox()
        guarded = self.banner.guarded
        self.run_button.on_click(guarded(lambda _: self.run()))
        self.cancel_button.on_click(guarded(lambda _: self.cancel()))
        self.save_button.on_click(guarded(lambda _: self.save(self.folder.value)))
        self.view.observe(guarded(lambda _: self._open(self.view.selected)), "selected")
        self.editor.on_change(self._estimate)
        self._estimate()
        actions = [self.run_button, self.cancel_button, self.progress, self.folder, self.save_button]
        head = [self.editor, self.summary, widgets.HBox(actions).add_class("wb-actions"), self.banner, self.status]
        return [*head, self.view, self.detail, self.path, self._below]

    @property
    def grid(self) -> Grid:
        """The grid that the editors describe.

        Raises:
            WorkbenchError: they describe none.
        """
        return Grid(**self.editor.parts)

    @grid.setter
    def grid(self, grid: Grid) -> None:
        self.editor.show(grid)

    def run(self) -> None:
        """Check the grid and queue it. A mistake shows at once, even while another grid is computed.

        Raises:
            WorkbenchError: something typed cannot be read.
        """
        parts = self.editor.parts
        self.banner.clear()

        def check(token: CancelToken) -> None:
            grid = Grid(**parts)
            plan = grid.expand(self.session.catalog)
            if not token.cancelled:
                self.work(grid.title or "the grid", lambda token: self._run(grid, plan, token))

        self.plan("checking the grid", check)

    def save(self, folder: str) -> None:
        """Queue the writing of the last run's PNG, page, table and YAML into `folder`.

        Raises:
            GridError: nothing has run yet, or no folder is named.
        """
        result = self.result
        if result is None:
            raise GridError("There is no grid to save.", "Run it first.")
        if not folder.strip():
            raise GridError("The grid's folder has no name.", "Type one, for example 'grid'.")
        self.path.value = "Saving…"

        def write(_: CancelToken) -> None:
            self.post("saved", result.save(folder.strip()))

        self.plan("saving the grid", write)

    def _run(self, grid: Grid, plan: Plan, token: CancelToken) -> None:
        """On the worker's thread."""
        each = plan.seeds_per_cell
        self.post(f"plan {next(self._count)}", plan)

        def listen(event: object) -> None:
            if isinstance(event, Step):
                self.post(f"step {event.digest}", event)
            elif isinstance(event, Finished):
                self.post("finished", event)

        def on_cell(shot: Shot) -> None:
            place = shot.cell * each + shot.seed
            self.post(f"shot {next(self._count)}", (place, shot))

        self.post(
            f"result {next(self._count)}",
            grid.run(self.session, listen=listen, cancel=token, on_cell=on_cell, previews=True),
        )

    def _estimate(self) -> None:
        """What the grid would cost, computed beside a running one."""
        try:
            parts = self.editor.parts
        except WorkbenchError as error:
            self.post("summary", error)
            return

        def estimate(_: CancelToken) -> None:
            try:
                self.post("summary", Grid(**parts).summary(self.session))
            except WorkbenchError as error:
                self.post("summary", error)

        self.chore("estimate", estimate)

    def show(self, key: str, value: Any) -> None:
        """One piece of news."""
        kind = key.partition(" ")[0]
        if isinstance(value, Job):
            self._show_job(value)
        elif isinstance(value, WorkbenchError):
            self.summary.value = f"<span class='wb-problem'>{escape(str(value))}</span>"
        elif isinstance(value, Summary):
            self.summary.value = escape(str(value))
        elif isinstance(value, Plan):
            self._begin(value)
        elif isinstance(value, Step):
            for place in self._places.get(value.digest, ()):
                self.view.running(place, value.preview)
        elif isinstance(value, Finished):
            self.progress.value = value.done / max(1, value.total)
            self.status.value = f"{value.done} of {value.total} pictures"
        elif kind == "shot":
            self._mark(*value)
        elif kind == "variation":
            self.detail.vary(value.recipe, value.picture)
        elif kind == "saved":
            files = ", ".join(path.name for path in value)
            self.path.value = f"Saved {escape(files)} in <b>{escape(str(value[0].parent.absolute()))}</b>"
        elif kind == "result":
            self._end(value)

    def settle(self) -> None:
        """Send all cells that changed in one message."""
        self.cancel_button.disabled = not self.unfinished()
        if self._plan is not None:
            self.view.flush()

    def _show_job(self, job: Job) -> None:
        if job.state == "waiting" and (ahead := self.waiting_for(job)):
            self.status.value += f" · {ahead} waiting"
        elif job.state == "failed":
            self.status.value, self.path.value = "Failed.", ""

    def _begin(self, plan: Plan) -> None:
        self._plan, self._shots = plan, {}
        places: defaultdict[str, list[int]] = defaultdict(list)
        for cell, seed in plan.run_order:
            places[cell.resolved[seed].digest].append(cell.index * plan.seeds_per_cell + seed)
        self._places = dict(places)
        self.detail.hide()
        self.view.show_plan(plan)
        self.progress.value = 0.0
        self.status.value = "Starting…"

    def _mark(self, place: int, shot: Shot) -> None:
        self._shots[place] = shot
        self.view.mark(place, shot)
        for warning in shot.warnings:
            self.banner.show(warning, level="warning")

    def _end(self, result: GridResult) -> None:
        self.result = result
        self.save_button.disabled = False
        self.view.stopped()
        self.progress.value = 0.0
        counts = [(result.computed, "made"), (result.reused, "from the store"), (result.failed, "failed")]
        said = ", ".join(f"{count:,} {word}" for count, word in counts if count or word == "made")
        left = f"; stopped with {result.pending:,} left, Run goes on from there" if result.cancelled else ""
        self.status.value = f"Done in {format_seconds(result.seconds)}: {said}{left}."
        self._estimate()

    def _picture(self, place: int) -> Image.Image | None:
        shot = self._shots.get(place)
        stored = self.session.store.get(shot.digest) if shot and shot.status == "done" else None
        return stored.open() if stored else None

    def _open(self, place: int) -> None:
        """Show the picture that was clicked."""
        if self._plan is None or place < 0:
            self.detail.hide()
            return
        cell = self._plan.cells[place // self._plan.seeds_per_cell]
        recipe = cell.recipes[place % self._plan.seeds_per_cell]
        shot = self._shots.get(place)
        problem = str(shot.error) if shot and shot.error else "" if shot else "This picture is not made yet."
        self.detail.show_cell(f"{self._plan.describe(cell)}, seed {recipe.seed}", recipe, self._picture(place), problem)

    def _again(self, recipe: Recipe) -> None:
        """Make an open cell's recipe with a new seed, beside the grid and not in it."""

        def body(token: CancelToken) -> None:
            for result in self.session.run([recipe], cancel=token):
                if result.error is not None:
                    raise result.error
                self.post(f"variation {next(self._count)}", result)

        self.work(recipe.prompt, body)

    def _hand_over(self, recipe: Recipe) -> None:
        if self.generation is None:
            self.generation = GenerationPanel(self.session, recipe)
            self._below.children = (self.generation,)
        self.generation.restore(recipe)
