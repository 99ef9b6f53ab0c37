"""What every panel is made of: a session, a banner, two queues and one coalesced way back to the browser.

    callback -> planner (checks, estimates) -> worker (owns the model) -> coalescer -> traits

The planner is a thread beside the worker, so that a mistake in a form shows at once while a long grid is computed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.errors import Cancelled
from workbench.panels.banner import Banner
from workbench.panels.coalesce import Coalescer
from workbench.panels.worker import Body, Job, Worker, planner_of, shared_session, worker_of

if TYPE_CHECKING:
    from workbench.session import Session

CSS = (Path(__file__).parent / "panels.css").read_text(encoding="utf-8")


class Panel(widgets.VBox):
    """A widget with a session and jobs. Subclasses make their parts in `build` and show news in `show`.

    Args:
        session: pictures and models; None takes the session that all panels without one share.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.banner = Banner()
        self._jobs: list[Job] = []  # of this panel, oldest first
        self._chores: list[Job] = []  # such as estimates: nobody cancels them, nobody is told
        self._lock = threading.Lock()  # guards _jobs and _numbers: the planner adds jobs as well as callbacks
        self._numbers = 0
        self._coalescer = Coalescer(self._deliver)
        style = widgets.HTML(f"<style>{CSS}</style>", layout=widgets.Layout(display="none"))
        parts: list[widgets.Widget] = [self.banner]
        with self.banner.guard():  # a folder that cannot be written is said in the panel, like everything else
            self.session = session or shared_session()
            parts = self.build()
        super().__init__([style, *parts])
        self.add_class("wb-panel")

    def build(self) -> list[widgets.Widget]:
        """Make the parts, in order, the banner where the eye is when a button is pressed."""
        raise NotImplementedError

    def show(self, key: str, value: Any) -> None:
        """Bring one piece of news into the traits. Called by one thread at a time, at most ten times a second."""
        raise NotImplementedError

    def post(self, key: str, value: Any) -> None:
        """Have `show(key, value)` called soon, unless a newer value of `key` comes first. From any thread."""
        self._coalescer.post(key, value)

    def plan(self, title: str, body: Body) -> Job:
        """Queue something that needs no model: checks and estimates."""
        return self._submit(planner_of(self.session), title, body)

    def work(self, title: str, body: Body) -> Job:
        """Queue something that needs the model."""
        return self._submit(worker_of(self.session), title, body)

    def chore(self, title: str, body: Body) -> None:
        """Queue something that needs no model, in place of earlier chores that have not begun."""
        for job in self._chores:
            if job.state == "waiting":
                job.cancel()
        job = planner_of(self.session).submit(title, body, lambda job: self.post("chore", job))
        self._chores = [*(other for other in self._chores if not other.finished), job]

    def settle(self) -> None:
        """Called after every batch of `show` calls: what is better set once for all of them."""

    def cancel(self) -> None:
        """Stop the oldest job of this panel within one step; later ones go on."""
        for job in self.unfinished()[:1]:
            job.cancel()

    def unfinished(self) -> list[Job]:
        """Jobs of this panel that wait or run, oldest first."""
        with self._lock:
            return [job for job in self._jobs if job.active]

    def waiting_for(self, job: Job) -> int:
        """How many jobs of the session, of whatever panel, come before `job`."""
        queue = worker_of(self.session).unfinished()
        return queue.index(job) if job in queue else 0

    def wait(self, timeout: float = 600.0) -> bool:
        """Block until every job of this panel is over and shown, or for `timeout` seconds; for scripts and tests."""
        end = time.monotonic() + timeout
        while True:
            before = self._open_jobs()
            self._coalescer.flush()  # what is shown may ask for an estimate, which is waited for too
            if not (jobs := before or self._open_jobs()):
                return True
            if not jobs[0].wait(max(0.0, end - time.monotonic())):
                return False

    def _open_jobs(self) -> list[Job]:
        return [job for job in (*self._chores, *self._jobs) if not job.finished]

    def close(self) -> None:
        """Cancel the panel's jobs and remove it from the page."""
        for job in (*self._chores, *self.unfinished()):
            job.cancel()
        super().close()

    def _submit(self, worker: Worker, title: str, body: Body) -> Job:
        with self._lock:
            self._numbers += 1
            key = f"job {self._numbers}"  # of its own: the end of one job is never replaced by the start of the next
            job = worker.submit(title, body, lambda job: self.post(key, job))
            self._jobs = [*(job for job in self._jobs if not job.finished), job]
        return job

    def _deliver(self, news: dict[str, Any]) -> None:
        for key, value in news.items():
            with self.banner.guard():
                if isinstance(value, Job) and value.error is not None:
                    self.banner.report(value.error)
                self.show(key, value)
        with self.banner.guard():
            self.settle()


def checked(check: Callable[[], object], then: Callable[[], object]) -> Body:
    """A body that runs `check`, and `then` unless it was cancelled meanwhile."""

    def body(token: Any) -> None:
        check()
        if token.cancelled:
            raise Cancelled("Stopped.")
        then()

    return body
