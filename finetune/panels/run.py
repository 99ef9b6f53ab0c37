"""A training run in a notebook: loss curve, previews, and buttons; the run itself lives in its own process.

The panel reads the run's folder and leaves commands in it, nothing more. So it can be closed, opened twice, or opened
again after the kernel was restarted, and the run never notices.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets
from PIL import Image

from finetune.run import RunHandle, attach, resume_run
from finetune.runfolder import ACTIVE, Status
from workbench.panels.banner import Banner
from workbench.panels.base import CSS
from workbench.panels.pixels import HERE as SHARED
from workbench.panels.pixels import PixelWidget, encode, javascript

HERE = Path(__file__).parent
EVERY = 0.3  # seconds between two looks at the folder
POINTS = 1000  # of a curve; a longer one is thinned

Point = tuple[int, float]


class LossCurve(anywidget.AnyWidget):
    """Training and held-out loss over steps."""

    _esm = HERE / "curve.js"
    _css = HERE / "curve.css"
    training: Any = traitlets.List().tag(sync=True)  # [[step, loss], ...]
    held_out: Any = traitlets.List().tag(sync=True)
    steps = traitlets.Int(1).tag(sync=True)  # where the run ends


class PreviewStrip(PixelWidget):
    """Thumbnails of previews, newest first.

    Args:
        folder: the run's folder; ids are paths below it.
        opened: called with the path of a clicked preview.
        banner: shows what goes wrong.
    """

    _esm = javascript("strip.js")
    _css = SHARED / "panels.css"
    items = traitlets.List(traitlets.Dict()).tag(sync=True)  # [{id, title}]
    current = traitlets.Unicode("").tag(sync=True)
    nothing = traitlets.Unicode("Previews of the run appear here.").tag(sync=True)

    def __init__(self, folder: Path, opened: Any, banner: Banner) -> None:
        self._folder, self._opened = folder, opened
        super().__init__(self._picture, banner)

    def received(self, content: dict[str, Any]) -> None:
        """A click on a thumbnail."""
        if content.get("type") == "open":
            self._opened(str(content.get("id")))

    def _picture(self, identity: str) -> Image.Image | None:
        path = preview_path(self._folder, identity)
        if path is None or not path.is_file():
            return None
        with Image.open(path) as picture:
            return picture.convert("RGB")


class RunPanel(widgets.VBox):
    """Watch and steer one run.

    Args:
        run: its name or folder, or what `start_run` returned.
        home: the workbench's home; None: from the settings.

    Raises:
        RunError: there is no such run.
    """

    def __init__(self, run: str | Path | RunHandle, *, home: Path | None = None) -> None:
        self.handle = run if isinstance(run, RunHandle) else attach(run, home=home)
        self._home = home
        self._seen = -1  # lines of the log that are shown
        self._closed = threading.Event()
        self.banner = Banner()
        self.curve = LossCurve(steps=self.handle.folder.config.steps)
        self.head = widgets.HTML().add_class("wb-status")
        self.figures = widgets.HTML()
        self.progress = widgets.FloatProgress(max=1.0, layout=widgets.Layout(width="100%"))
        self.strip = PreviewStrip(self.handle.folder.path, self.show_picture, self.banner)
        self.picture = widgets.Image(layout=widgets.Layout(display="none", max_width="512px"))
        self.caption = widgets.HTML()
        self._make_buttons()
        style = widgets.HTML(f"<style>{CSS}</style>", layout=widgets.Layout(display="none"))
        buttons = widgets.HBox(
            [self.stop_button, self.pause_button, self.save_button, self.sample_button, self.resume_button]
        ).add_class("wb-actions")
        super().__init__(
            [style, self.head, self.progress, self.figures, buttons, self.banner, self.curve, self.strip, self.picture,
             self.caption]
        )  # fmt: skip
        self.add_class("wb-panel")
        self.refresh()
        self._watcher: threading.Thread | None = None
        self._watch()

    def _make_buttons(self) -> None:
        guarded = self.banner.guarded
        actions = {
            "stop": ("stop", "Stop after the current step, with a checkpoint.", self.handle.stop),
            "pause": ("pause", "Wait after the current step, or go on.", self.toggle_pause),
            "save": ("save", "Write a checkpoint after the current step.", self.handle.save),
            "sample": ("image", "Draw previews after the current step.", self.handle.sample),
            "resume": ("play", "Go on from the last checkpoint.", self.resume),
        }
        for name, (icon, tooltip, action) in actions.items():
            button = widgets.Button(description=name.capitalize(), icon=icon, tooltip=tooltip)
            button.on_click(guarded(lambda _, action=action: action()))
            button.add_class(f"wb-{name}")
            setattr(self, f"{name}_button", button)

    def toggle_pause(self) -> None:
        """Pause the run, or end its pause."""
        if self.handle.folder.has("pause"):
            self.handle.go_on()
        else:
            self.handle.pause()
        self.refresh()

    def resume(self) -> None:
        """Start a process again that goes on from the last checkpoint.

        Raises:
            RunError: the run is under way.
        """
        self.handle = resume_run(self.handle.folder.path, home=self._home)
        self.refresh()
        self._watch()

    def show_picture(self, identity: str) -> None:
        """Show a preview large."""
        path = preview_path(self.handle.folder.path, identity)
        if path is None or not path.is_file():
            return
        with Image.open(path) as picture:
            kind, data = encode(picture.convert("RGB"))
        self.picture.format, self.picture.value = kind, data
        self.picture.layout.display = "block"
        self.caption.value = escape(_title(identity))
        self.strip.current = identity

    def refresh(self) -> None:
        """Show what the folder says now."""
        status = self.handle.status()
        self._show_status(status)
        records = self.handle.records()
        if len(records) == self._seen:
            return
        self._seen = len(records)
        steps = [record for record in records if record["event"] == "step"]
        held = [record for record in records if record["event"] == "held_out"]
        self.curve.training = thin([(record["step"], record["loss"]) for record in steps])
        self.curve.held_out = thin([(record["step"], record["loss"]) for record in held])
        self.curve.steps = max(1, status.steps or self.handle.folder.config.steps)
        if steps:
            last = steps[-1]
            best = f", held-out {held[-1]['loss']:.4g} (best at step {held[-1]['best_step']})" if held else ""
            self.figures.value = (
                f"loss {last['loss']:.4g}{best}, {last['per_second']:.3g} steps a second, {last['memory'] / 1e9:.1f} GB"
            )
        pictures = [name for record in records if record["event"] == "preview" for name in record["pictures"]]
        self.strip.items = [{"id": name, "title": _title(name)} for name in dict.fromkeys(reversed(pictures))]

    def close(self) -> None:
        """Take the panel off the page; the run goes on."""
        self._closed.set()
        super().close()

    def _show_status(self, status: Status) -> None:
        active = status.state in ACTIVE
        done = f"step {status.step} of {status.steps}" if status.steps else ""
        text = " · ".join(escape(part) for part in (status.state, done, status.message) if part)
        self.head.value = f"<b>{escape(self.handle.name)}</b> · {text}"
        self.progress.value = status.step / status.steps if status.steps else 0.0
        paused = self.handle.folder.has("pause")
        self.pause_button.description = "Go on" if paused else "Pause"
        for button in (self.stop_button, self.pause_button, self.save_button, self.sample_button):
            button.disabled = not active
        self.resume_button.disabled = active or status.state == "finished"
        if status.state == "failed" and status.message and self.banner.text != status.message:
            self.banner.show(status.message)

    def _watch(self) -> None:
        """Look at the folder until the run has ended or the panel is closed."""
        if self._watcher is not None and self._watcher.is_alive():
            return

        def watch() -> None:
            while not self._closed.wait(EVERY):
                with self.banner.guard():
                    active = self.handle.status().state in ACTIVE
                    self.refresh()
                    if not active:
                        return

        if self.handle.status().state in ACTIVE:
            self._watcher = threading.Thread(target=watch, name="finetune-watcher", daemon=True)
            self._watcher.start()

    stop_button: widgets.Button
    pause_button: widgets.Button
    save_button: widgets.Button
    sample_button: widgets.Button
    resume_button: widgets.Button


def preview_path(folder: Path, identity: str) -> Path | None:
    """The file of a preview; None for an id that is none, so that a page cannot read other files."""
    return folder / identity if re.fullmatch(r"previews/step-\d{6,}/\d{2,}-[A-Za-z0-9._-]+\.png", identity) else None


def thin(points: Sequence[Point], most: int = POINTS) -> list[list[float]]:
    """At most about `most` points, evenly chosen, always with the last."""
    every = max(1, -(-len(points) // most))
    kept = [point for place, point in enumerate(points) if place % every == 0 or place == len(points) - 1]
    return [[step, loss] for step, loss in kept]


def _title(identity: str) -> str:
    """'step 120, prompt 1, model' of a preview's id."""
    _, step, name = identity.split("/")
    number, _, model = name.removesuffix(".png").partition("-")
    return f"step {int(step.removeprefix('step-'))}, prompt {int(number) + 1}, {model}"
