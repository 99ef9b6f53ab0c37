"""One recipe at a time: a form, a picture that appears step by step, and a strip of earlier pictures."""

from __future__ import annotations

import itertools
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.engine.events import CancelToken, Planned, Result, Saving, Step
from workbench.errors import RecipeError, StoreError
from workbench.panels.base import Panel, checked
from workbench.panels.dynamic_box import DynamicBox
from workbench.panels.forms import RecipeForm
from workbench.panels.history import HistoryStrip
from workbench.panels.pixels import encode, encode_preview
from workbench.panels.recall_box import RecallBox
from workbench.panels.worker import Job
from workbench.recipe import Recipe, resolve
from workbench.store.files import write_atomically

if TYPE_CHECKING:
    from workbench.session import Session


class GenerationPanel(Panel):
    """Type a prompt, look at a picture.

    Args:
        session: pictures and models; None takes the session that all panels without one share.
        recipe: what the form shows first.
    """

    def __init__(self, session: Session | None = None, recipe: Recipe | None = None) -> None:
        self._first = recipe
        self._count = itertools.count()  # every result has a key of its own, so that none replaces another
        self._shown: tuple[str, Recipe] | None = None  # digest and recipe of the picture that is shown
        super().__init__(session)
        self.add_class("wb-generation")

    def build(self) -> list[widgets.Widget]:
        """Form on the left, picture on the right, history below."""
        self.form = RecipeForm(self.session.catalog, self._first, banner=self.banner)
        self.history = HistoryStrip(self.session.store, self._restore, self.banner)
        self.form.on_change(self._show_code)
        self.dynamic = DynamicBox(self.session.settings.home, self._show_code)
        self.recall = RecallBox(self.session.catalog, self.restore, self.banner)
        return [widgets.HBox([self.form, self._result()]).add_class("wb-body"), self.history]

    def _result(self) -> widgets.VBox:
        self.generate_button = widgets.Button(description="Generate", icon="play", button_style="primary")
        self.cancel_button = widgets.Button(description="Cancel", icon="stop", disabled=True)
        self.cancel_button.tooltip = "Stop the current picture within one step; waiting ones go on."
        self.progress = widgets.FloatProgress(max=1.0)
        self.status = widgets.HTML("Ready.")
        self.picture = widgets.Image(layout=widgets.Layout(display="none"))
        self._hint = widgets.HTML("Your picture appears here.").add_class("wb-hint")
        self.path = widgets.HTML()
        self.code_button = widgets.ToggleButton(description="Python code", icon="code")
        self.code_button.tooltip = "Show what is in the form as Python code."
        self.code = widgets.HTML(layout=widgets.Layout(display="none"))
        self.file = widgets.Text("picture.png", layout=widgets.Layout(flex="1 1 100px", width="auto"))
        self.file.tooltip = "File name of the copy, relative to the notebook's folder."
        self.save_button = widgets.Button(description="Save a copy", icon="save", disabled=True)
        self.reference_button = widgets.Button(description="As reference", icon="plus", disabled=True)
        self.reference_button.tooltip = "Add this picture to the references of the form."
        self.image_button = widgets.Button(description="As image", icon="picture-o", disabled=True)
        self.image_button.tooltip = "Start from this picture: picture to picture, mask, margins."
        for name in (
            "generate_button",
            "cancel_button",
            "save_button",
            "code_button",
            "reference_button",
            "image_button",
        ):
            getattr(self, name).add_class(f"wb-{name.removesuffix('_button')}")
        for name in ("progress", "status", "picture", "path", "file"):
            getattr(self, name).add_class(f"wb-{name}")
        self.code.add_class("wb-python")
        guarded = self.banner.guarded
        self.generate_button.on_click(guarded(lambda _: self.generate()))
        self.cancel_button.on_click(guarded(lambda _: self.cancel()))
        self.save_button.on_click(guarded(lambda _: self.save(self.file.value)))
        self.reference_button.on_click(guarded(lambda _: self.form.pictures.add_reference(self._keep())))
        self.image_button.on_click(guarded(lambda _: self.form.pictures.start_from(self._keep())))
        self.code_button.observe(guarded(lambda _: self._show_code()), "value")
        stage = widgets.HBox([self.picture, self._hint]).add_class("wb-stage")
        actions = widgets.HBox([self.generate_button, self.cancel_button, self.progress]).add_class("wb-actions")
        files = widgets.HBox([self.code_button, self.file, self.save_button]).add_class("wb-actions")
        again = widgets.HBox([self.reference_button, self.image_button, self.recall]).add_class("wb-actions")
        parts = [stage, actions, self.dynamic, self.banner, self.status, files, again, self.path, self.code]
        return widgets.VBox(parts).add_class("wb-result")

    def generate(self) -> None:
        """Queue what the form says. A mistake in it is shown at once, even while another picture is made.

        Raises:
            RecipeError: a field is no number, or out of range.
            DynamicPromptError: a dynamic prompt cannot be read, or stands for too many.
        """
        recipes = self.dynamic.recipes(self.form.recipe)
        self.banner.clear()
        title = recipes[0].prompt or "a picture"
        work = self._body(recipes)
        check = partial(self._resolve_all, recipes)
        self.plan(title, checked(check, lambda: self.work(title, work)))

    def _resolve_all(self, recipes: list[Recipe]) -> None:
        for recipe in recipes:
            resolve(recipe, self.session.catalog)

    def restore(self, recipe: Recipe) -> None:
        """Show `recipe` in the form."""
        self.form.recipe = recipe

    def save(self, name: str) -> Path:
        """Copy the shown picture's PNG, metadata and all, to the file `name`. Returns its absolute path.

        Raises:
            StoreError: nothing is shown, or the file cannot be written.
        """
        stored = self.session.store.get(self._shown[0]) if self._shown else None
        if stored is None:
            raise StoreError("There is no picture to save.", "Generate one first.")
        if not name.strip():
            raise StoreError("The copy has no name.", "Type one, for example picture.png.")
        path = Path(name.strip()).expanduser().absolute()
        path = path if path.suffix.lower() == ".png" else path.with_name(path.name + ".png")
        write_atomically(path, stored.path.read_bytes())
        self.path.value = f"Saved a copy as <b>{escape(str(path))}</b>"
        return path

    def _keep(self) -> str:
        """The digest of the shown picture among the inputs.

        Raises:
            StoreError: nothing is shown.
        """
        stored = self.session.store.get(self._shown[0]) if self._shown else None
        if stored is None:
            raise StoreError("There is no picture to use.", "Generate one first.")
        return self.session.catalog.inputs.add(stored.path).digest

    def _body(self, recipes: list[Recipe]) -> Any:
        def body(token: CancelToken) -> None:
            listen = self._listen
            for result in self.session.run(recipes, listen=listen, cancel=token, previews=True):
                if result.error is not None:
                    raise result.error
                self.post(f"result {next(self._count)}", result)

        return body

    def _listen(self, event: object) -> None:
        if isinstance(event, Step) or (isinstance(event, Planned) and event.batches):
            self.post("step", event)
        elif isinstance(event, Saving):
            self.post(f"saving {event.given_up}", event)

    def show(self, key: str, value: Any) -> None:
        """One piece of news: a job's state, a step, a result."""
        match value:
            case Job():
                self._show_job(value)
            case Planned():
                self.status.value = "Loading…"
            case Saving():
                self.banner.show("Memory is short.", str(value), level="warning")
            case Step():
                self._show_step(value)
            case Result():
                self._show_result(value)
        active = self.unfinished()
        self.cancel_button.disabled = not active
        if not active:
            self.progress.value = 0.0

    def _show_job(self, job: Job) -> None:
        match job.state:
            case "waiting" | "running":
                self.status.value = "Starting…"
            case "cancelled":
                self.status.value = "Stopped."
            case "failed":
                self.status.value = "Failed."
            case "done":
                pass  # the result has said so
        if ahead := [self.waiting_for(other) for other in self.unfinished() if other.state == "waiting"]:
            self.status.value += f" {len(ahead)} waiting."

    def _show_step(self, step: Step) -> None:
        self.progress.value = step.step / step.steps
        waiting = len(self.unfinished()) - 1
        self.status.value = f"Step {step.step} of {step.steps}" + (f", {waiting} waiting" if waiting > 0 else "")
        if step.preview is not None:
            self._show_pixels("jpeg", encode_preview(step.preview))

    def _show_result(self, result: Result) -> None:
        assert result.picture is not None  # the job has raised an error
        kind, data = encode(result.picture)
        self._show_pixels(kind, data)
        self._shown = (result.digest, result.recipe)
        self.history.mark(result.digest, result.recipe)
        self.status.value = describe(result)
        self._show_path(result.digest)
        for warning in result.warnings:
            self.banner.show(warning, level="warning")

    def _show_pixels(self, kind: str, data: bytes) -> None:
        with self.picture.hold_sync():
            self.picture.format, self.picture.value = kind, data
        self.picture.layout.display, self._hint.layout.display = "", "none"

    def _show_path(self, digest: str) -> None:
        stored = self.session.store.get(digest)
        self.path.value = f"Kept as {escape(str(stored.path))}" if stored else ""
        for button in (self.save_button, self.reference_button, self.image_button):
            button.disabled = stored is None
        self.file.value = f"picture-{digest[:8]}.png"

    def _restore(self, digest: str, recipe: Recipe) -> None:
        """A click in the history: its recipe and its picture come back."""
        self.banner.clear()
        self.restore(recipe)
        stored = self.session.store.get(digest)
        if stored is None:
            raise StoreError("This picture is no longer in the store.", "Press Generate to make it again.")
        self._shown = (digest, recipe)
        self._show_pixels(*encode(stored.open()))
        self.status.value = f"From {stored.created:%Y-%m-%d %H:%M} UTC."
        self._show_path(digest)

    def _show_code(self) -> None:
        self.code.layout.display = "" if self.code_button.value else "none"
        if self.code_button.value:
            try:
                write = self.dynamic.python_code if self.dynamic.tick.value else python_code
                code = write(self.form.recipe)
            except RecipeError as error:
                code = f"# {error.message}"
            self.code.value = f"<div class='wb-code'><pre>{escape(code)}</pre></div>"


def describe(result: Result) -> str:
    """A finished picture in one line: size, seed, steps, and what it cost."""
    assert result.resolved is not None
    full = result.resolved.recipe
    seconds = sum(result.seconds.values())
    cost = f"from the store (took {seconds:.1f} s)" if result.reused else f"{seconds:.1f} s"
    guidance = f", guidance {full.guidance_scale:g}" if (full.guidance_scale or 0) > 1 else ""
    return f"{full.width} × {full.height}, {full.steps} steps{guidance}, seed {full.seed}: {cost}"


def python_code(recipe: Recipe) -> str:
    """Python source that makes the picture of `recipe` without a panel."""
    source = recipe.to_python()
    names = [name for name in ("Adapter", "Recipe", "Reference") if f"{name}(" in source]
    imports = ", ".join([*names, "Session"])
    return f"from workbench import {imports}\n\nrecipe = {source}\nSession().generate(recipe).picture"
