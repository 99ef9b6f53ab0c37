"""One thread per session owns the model; callbacks only put jobs on its queue.

A callback of a widget may run on the main thread or beside a running cell, depending on the version of ipykernel, so
no callback computes anything. Jobs run one after the other: a second one waits and never ends the first. Cancel acts
within one denoising step, through the `CancelToken` that the job's body is given.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from workbench.engine.events import CancelToken
from workbench.errors import Cancelled, WorkbenchError

if TYPE_CHECKING:
    from workbench.session import Session

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Body = Callable[[CancelToken], object]


class Job:
    """One piece of work. `state` moves from waiting to running to done, failed or cancelled.

    Args:
        title: what a person calls it, for the status line.
        body: does the work and looks at the token it is given.
        changed: called with the job after every change of state, on the thread that caused it.
    """

    def __init__(self, title: str, body: Body, changed: Callable[[Job], None] | None) -> None:
        self.title, self.token = title, CancelToken()
        self.state: State = "waiting"
        self.error: BaseException | None = None
        self._body: Body | None = body
        self._changed = changed
        self._lock = threading.Lock()
        self._over = threading.Event()

    @property
    def finished(self) -> bool:
        """Whether the job is over and whoever asked was told."""
        return self._over.is_set()

    @property
    def active(self) -> bool:
        """Whether the job waits or runs."""
        return self.state in ("waiting", "running")

    def cancel(self) -> None:
        """Stop: a waiting job never starts, a running one stops within one step. A finished job stays as it is."""
        self.token.cancel()
        self._move("waiting", "cancelled")

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job is over, or for `timeout` seconds. Returns whether it is over."""
        return self._over.wait(timeout)

    def run(self) -> None:
        """Do the work on this thread, unless the job was cancelled while it waited. Raises nothing."""
        body = self._body
        if body is None or not self._move("waiting", "running"):
            return
        try:
            body(self.token)
        except Cancelled:
            self._move("running", "cancelled")
        except BaseException as error:  # the thread serves other jobs, whatever this one met
            self.error = error
            if not isinstance(error, WorkbenchError):
                log.exception("job %r failed", self.title)
            self._move("running", "failed")
        else:
            self._move("running", "done")

    def _move(self, before: State, after: State) -> bool:
        with self._lock:
            if self.state != before:
                return False
            self.state = after
            changed = self._changed
            if after != "running":
                self._body = self._changed = None  # they hold the session and the panel
        try:
            if changed is not None:
                changed(self)
        except Exception:
            log.exception("telling about job %r failed", self.title)
        if after != "running":
            self._over.set()
        return True


class Worker:
    """A daemon thread with a queue. It starts with the first job and ends with `close`."""

    def __init__(self, name: str = "workbench-worker") -> None:
        self._name = name
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self.closed = False
        _workers.add(self)

    def submit(self, title: str, body: Body, changed: Callable[[Job], None] | None = None) -> Job:
        """Queue `body` and return at once.

        Raises:
            WorkbenchError: the worker was closed.
        """
        job = Job(title, body, changed)
        with self._lock:
            if self.closed:
                raise WorkbenchError("This panel was closed.", "Make a new one.")
            self._jobs = [*self.unfinished(), job]
            if self._thread is None:
                self._thread = threading.Thread(target=_serve, args=(self._queue,), name=self._name, daemon=True)
                self._thread.start()
        self._queue.put(job)
        return job

    def unfinished(self) -> list[Job]:
        """Jobs that are waiting or running, oldest first."""
        return [job for job in self._jobs if job.active]

    def close(self, timeout: float | None = 10.0) -> bool:
        """Cancel everything and wait up to `timeout` seconds for the thread. Returns whether it ended."""
        with self._lock:
            self.closed = True
            jobs, thread = self.unfinished(), self._thread
        for job in jobs:
            job.cancel()
        self._queue.put(None)
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()


def _serve(jobs: queue.SimpleQueue[Job | None]) -> None:
    """The thread's loop. It holds the queue only, so that a forgotten worker can be collected."""
    while (job := jobs.get()) is not None:
        job.run()
        del job  # a finished job's pictures must not live until the next one comes


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_of_session: weakref.WeakKeyDictionary[Session, dict[str, Worker]] = weakref.WeakKeyDictionary()
_of_session_lock = threading.Lock()


def worker_of(session: Session) -> Worker:
    """The one worker that owns the model of `session`: panels that share a session share its queue."""
    return _thread_of(session, "workbench-worker")


def planner_of(session: Session) -> Worker:
    """A second thread of `session` for what needs no model, such as checks and estimates."""
    return _thread_of(session, "workbench-planner")


def _thread_of(session: Session, name: str) -> Worker:
    with _of_session_lock:
        workers = _of_session.setdefault(session, {})
        if name not in workers or workers[name].closed:
            workers[name] = Worker(name)
            weakref.finalize(session, workers[name].close, timeout=0)
        return workers[name]


@lru_cache(maxsize=1)
def shared_session() -> Session:
    """The session of panels that were given none, so that two panels load one model once."""
    from workbench.session import Session

    return Session()


@atexit.register
def _close_all() -> None:
    for worker in list(_workers):
        worker.close()
