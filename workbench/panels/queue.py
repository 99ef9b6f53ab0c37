"""The queue as a table: what runs, what waits, what went wrong, and buttons for all of it.

callback -> order to the queue
bus (this process) and a look a second at the database (all processes) -> coalescer -> traits
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import traitlets
from PIL import Image

from workbench.errors import WorkbenchError
from workbench.panels.banner import Banner
from workbench.panels.base import Panel
from workbench.panels.pixels import HERE, PixelWidget, javascript
from workbench.queue.bus import QueueEvent
from workbench.queue.queue import Queue
from workbench.queue.views import Job, State

if TYPE_CHECKING:
    from workbench.queue.worker import Worker
    from workbench.session import Session
    from workbench.store import Store

SHOWN = 100  # jobs in the table; the line above it counts all
LOOK = 1.0  # seconds between two looks at what other processes did
PAUSE = 0.1  # seconds between two looks, however much happens


class QueueTable(PixelWidget):
    """The jobs as rows with a picture, a progress bar and a button each.

    Args:
        store: where pictures of completed jobs are.
        queue: receives the orders of the buttons.
        banner: shows what goes wrong.
    """

    _esm = javascript("queue.js")
    _css = HERE / "queue.css"
    side = 64
    jobs = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(self, store: Store, queue: Queue, banner: Banner) -> None:
        self._store, self._queue = store, queue
        super().__init__(self._picture, banner)

    def received(self, content: dict[str, Any]) -> None:
        """A press of a row's button."""
        order = {"cancel": self._queue.cancel, "retry": self._queue.retry}.get(str(content.get("type")))
        if order is None:
            super().received(content)
        else:
            order(int(content["job"]))

    def _picture(self, digest: str) -> Image.Image | None:
        stored = self._store.get(digest)
        return stored.open() if stored else None


@dataclass(frozen=True, slots=True)
class View:
    """One look at the queue."""

    jobs: tuple[Job, ...]
    counts: dict[State, int]
    paused: str | None


class QueuePanel(Panel):
    """Watch and steer the queue of a session's database, whoever works on it.

    Args:
        session: whose queue; None takes the session that all panels without one share.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.queue: Queue | None = None
        self._worker: Worker | None = None
        self._view = View((), {}, None)
        self._news = threading.Event()
        self._over = threading.Event()
        self._leave: Callable[[], None] = lambda: None
        super().__init__(session)
        self.add_class("wb-queue")
        if self.queue is not None:
            reference = weakref.ref(self)
            self._leave = self.queue.bus.subscribe(lambda event: _heard(reference, event))
            self.look()
            threading.Thread(
                target=_watch, args=(reference, self._news, self._over), name="workbench-queue-panel", daemon=True
            ).start()

    def build(self) -> list[widgets.Widget]:
        """Buttons and counts above, the table below."""
        self.queue = Queue(self.session)
        self.work_button = widgets.ToggleButton(description="Work here", icon="play")
        self.work_button.tooltip = "Run jobs in this kernel, beside its cells."
        self.pause_button = widgets.ToggleButton(description="Pause", icon="pause")
        self.pause_button.tooltip = "Begin no more jobs, in any process; what runs goes on."
        self.cancel_button = widgets.Button(description="Cancel all", icon="stop")
        self.cancel_button.tooltip = "Cancel everything that waits or runs."
        self.retry_button = widgets.Button(description="Retry failed", icon="repeat")
        self.retry_button.tooltip = "Queue again what failed."
        self.clear_button = widgets.Button(description="Clear finished", icon="eraser")
        self.clear_button.tooltip = "Forget jobs that are over. Pictures stay in the store."
        self.summary = widgets.HTML()
        self.table = QueueTable(self.session.store, self.queue, self.banner)
        guarded = self.banner.guarded
        self.work_button.observe(guarded(lambda change: self._work(change["new"])), "value")
        self.pause_button.observe(guarded(lambda change: self._pause(change["new"])), "value")
        queue = self.queue
        self.cancel_button.on_click(guarded(lambda _: self._order(queue.cancel)))
        self.retry_button.on_click(guarded(lambda _: self._retry()))
        self.clear_button.on_click(guarded(lambda _: self._order(queue.clear)))
        names = ("work_button", "pause_button", "cancel_button", "retry_button", "clear_button")
        for name in names:
            getattr(self, name).add_class(f"wb-{name.removesuffix('_button')}")
        tools = widgets.HBox([getattr(self, name) for name in names]).add_class("wb-queue-tools")
        return [tools, self.summary, self.table]

    def look(self) -> None:
        """Read the queue and show it, now."""
        assert self.queue is not None
        self._deliver({"view": self._read()})

    def show(self, key: str, value: Any) -> None:
        """News from the bus or the database."""
        if isinstance(value, View):
            self._view = value
            self.table.jobs = [_row(job) for job in value.jobs]
            self.summary.value = _sentence(value)
            self._follow(value.paused is not None)
            self.retry_button.disabled = not value.counts.get("failed")
            self.cancel_button.disabled = not value.counts.get("pending", 0) + value.counts.get("running", 0)
        elif isinstance(value, WorkbenchError):
            self.banner.report(value)
        elif isinstance(value, QueueEvent) and value.name == "preview" and value.preview is not None:
            self.table.push(str(value.job), value.preview)
        elif isinstance(value, QueueEvent) and value.name == "step":
            self.table.jobs = [
                row | {"state": "running", "step": value.step, "steps": value.steps} if _runs(row, value) else row
                for row in self.table.jobs
            ]

    def close(self) -> None:
        """Stop watching and, if it works here, working; what was not finished goes back to the queue."""
        self._over.set()
        self._news.set()
        self._leave()
        if self._worker is not None:
            self._worker.stop(timeout=0)
        super().close()

    def _read(self) -> View:
        assert self.queue is not None
        return View(tuple(self.queue.recent(SHOWN)), self.queue.counts(), self.queue.paused)

    def _work(self, wanted: bool) -> None:
        assert self.queue is not None
        if wanted:
            if self._worker is None or not self._worker.alive:
                self._worker = self.queue.worker(previews=True)
                self._worker.start()
        elif self._worker is not None:
            self._worker.stop(timeout=0)

    def _pause(self, wanted: bool) -> None:
        assert self.queue is not None
        if wanted != (self.queue.paused is not None):
            self.queue.pause() if wanted else self.queue.resume()
            self.look()

    def _follow(self, paused: bool) -> None:
        """The buttons show what is, also when another process or a full disk did it."""
        if self.pause_button.value != paused:
            self.pause_button.value = paused
        if self._worker is not None and not self._worker.alive:
            error, self._worker = self._worker.error, None
            self.work_button.value = False
            if error is not None:
                self.banner.report(error)

    def _order(self, order: Any) -> None:
        order()
        self.look()

    def _retry(self) -> None:
        assert self.queue is not None
        failed = [job.id for job in self.queue.jobs("failed")]
        if failed:
            self._order(lambda: self.queue.retry(*failed))


def _heard(reference: weakref.ref[QueuePanel], event: QueueEvent) -> None:
    """From the bus, on the thread of whoever works."""
    panel = reference()
    if panel is None:
        return
    if event.name in ("step", "preview"):
        panel.post(f"{event.name} {event.job}", event)
    else:
        panel._news.set()


def _watch(reference: weakref.ref[QueuePanel], news: threading.Event, over: threading.Event) -> None:
    """Look at the queue when something happened here, and once a second for what happened elsewhere."""
    while not over.is_set():
        news.wait(LOOK)
        news.clear()
        panel = reference()
        if panel is None or over.is_set():
            return
        try:
            view = panel._read()
        except WorkbenchError as error:
            panel.post("error", error)
        else:
            if view != panel._view or panel._worker is not None:
                panel.post("view", view)
        del panel
        over.wait(PAUSE)


def _runs(row: dict[str, Any], event: QueueEvent) -> bool:
    return bool(row["id"] == event.job and row["state"] in ("pending", "running"))


def _row(job: Job) -> dict[str, Any]:
    fields = ("id", "title", "state", "step", "steps", "digest", "worker")
    reason = f"{job.reason} {job.remedy}".strip()
    return {name: getattr(job, name) for name in fields} | {"reason": reason}


def _sentence(view: View) -> str:
    told = " · ".join(f"{state} <b>{number:,}</b>" for state, number in view.counts.items())
    rest = sum(view.counts.values()) - len(view.jobs)
    more = f" · {rest:,} more are not shown" if rest > 0 else ""
    paused = "" if view.paused is None else f" · <b>paused</b>{': ' + escape(view.paused) if view.paused else ''}"
    return told + more + paused
