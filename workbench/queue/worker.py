"""Runs jobs: claim, run, report, again.

    worker = queue.worker()
    worker.run(until_done=True)      # in this thread
    worker.start(); worker.stop()    # or beside a notebook's cells

What a worker holds is only ever lent to it. It may be killed between any two instructions: pictures are stored before
they are reported, a report is one transaction, and whatever was not reported is given to another worker, which finds in
the store what was drawn already.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from workbench.errors import Cancelled, SettingsError, StoreError, WorkbenchError
from workbench.logs import context, get_logger
from workbench.queue import claims, control
from workbench.queue.bus import Name, QueueEvent
from workbench.queue.claims import Claim, LostError
from workbench.queue.database import disk_is_full
from workbench.queue.errors import JobError, QueueError
from workbench.queue.kinds import PICTURE
from workbench.queue.leases import BEAT
from workbench.queue.pulse import Pulse
from workbench.queue.run import ClaimToken, Outcome, run_one, run_pictures
from workbench.queue.tables import jobs
from workbench.queue.views import OPEN, count
from workbench.store.leftovers import sweep

if TYPE_CHECKING:
    from workbench.queue.queue import Queue

T = TypeVar("T")

MOST = 16  # jobs of one claim: a few of the engine's batches, and seconds of work that a crash can cost
WAIT = 0.5  # seconds between two looks at an empty queue
PATIENCE = 600  # tries to report an outcome while the database cannot be written, `WAIT` apart


class Worker:
    """One worker on one queue. It takes jobs while it runs, and owns none.

    Args:
        queue: where from, and whose session draws.
        most: jobs at once; those that can share the engine's batches are taken together.
        kinds: only jobs of these kinds; empty: all.
        previews: send small pictures with the steps, to the bus.
        beat: seconds between two heartbeats.

    Raises:
        QueueError: a number that makes no sense.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        most: int = MOST,
        kinds: tuple[str, ...] = (),
        previews: bool = False,
        beat: float = BEAT,
    ) -> None:
        if most < 1:
            raise QueueError(f"A worker cannot take {most} jobs at once.", "Use 1 or more.")
        self._queue, self._most, self._kinds, self._previews, self._beat = queue, most, kinds, previews, beat
        self._database = queue.database
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()  # guards what follows
        self._token = ClaimToken()  # of the present claim
        self._running: set[int] = set()  # jobs of it that are neither reported nor gone
        self._together = False  # whether they are drawn together, so that one may leave
        self._thread: threading.Thread | None = None
        self._unwritten: StoreError | None = None  # why a report could not be written at last
        self.error: WorkbenchError | None = None  # why `start`'s thread ended, if it did not by `stop`

    @property
    def alive(self) -> bool:
        """Whether the thread of `start` runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Run in a thread of its own until `stop`."""
        if self.alive:
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._serve, name="workbench-queue", daemon=True)
        self._thread.start()
        _started.add(self)

    def stop(self, timeout: float | None = 60.0) -> bool:
        """Stop within one step; what was not finished goes back to the queue. Returns whether it ended in time."""
        self._stop.set()
        self._wake.set()
        with self._lock:
            self._token.cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return True

    def run(self, *, until_done: bool = False) -> None:
        """Run jobs in this thread.

        Args:
            until_done: return when nothing waits or runs, in any process; otherwise only `stop` ends it.

        Raises:
            QueueError: with `until_done`, when the queue is paused and nothing runs.
            SettingsError: the session's device or batch size cannot be used; nothing was taken for it.
            StoreError: the database cannot be used; what was running is given back by the next worker.
        """
        leave = self._queue.bus.subscribe(self._heard)
        if left := sweep(self._queue.session.settings.home):
            get_logger("queue").info("temporary files of killed programs removed", files=len(left))
        try:
            with Pulse(self._database, self._taken_away, seconds=self._beat) as pulse:
                while not self._stop.is_set():
                    taken = self._claim(pulse)
                    if taken:
                        with context(worker=pulse.worker, jobs=[each.job for each in taken]):
                            self._work(taken, pulse)
                    elif until_done and self._done():
                        return
                    else:
                        self._wake.wait(WAIT)
                        self._wake.clear()
        finally:
            leave()

    def _serve(self) -> None:
        try:
            self.run()
        except WorkbenchError as error:
            self.error = error
            get_logger("queue").warning("the worker stopped", reason=error.message)
            self._tell("paused", reason=f"The worker stopped: {error}")

    def _claim(self, pulse: Pulse) -> list[Claim]:
        try:
            return self._patiently(
                lambda: self._database.write(
                    lambda c: claims.claim(c, pulse.worker, most=self._most, kinds=self._kinds)
                )
            )
        except LostError:  # this process was stopped for so long that it was declared dead
            pulse.enter()
            return []

    def _done(self) -> bool:
        conditions = [jobs.c.kind.in_(self._kinds)] if self._kinds else []
        counts, reason = self._database.read(lambda c: (count(c, *conditions), claims.paused(c)))
        if reason is not None and counts["pending"] and not counts["running"]:
            why = f": {reason.rstrip('.')}." if reason else "."
            raise QueueError(f"The queue is paused{why}", "Resume it, with `workbench queue resume` or queue.resume().")
        return not any(counts[state] for state in OPEN)

    def _work(self, taken: list[Claim], pulse: Pulse) -> None:
        """Run what was claimed together, and give back what was not finished."""
        with self._lock:
            self._token, self._running = ClaimToken(), {each.job for each in taken}
            self._together = taken[0].kind == PICTURE
            if self._stop.is_set():
                self._token.cancel()
        pulse.runs(taken)
        left = {each.job: each for each in taken}
        for each in taken:
            self._tell("started", each)
        death = False
        try:
            with closing(self._outcomes(taken, pulse)) as outcomes:  # leaving early stops the engine
                for outcome in outcomes:
                    if self._full(outcome):
                        break
                    self._report(outcome)
                    del left[outcome.claim.job]
        except Cancelled:
            pass  # what is left goes back; what was canceled has no claim any more
        except Exception as error:
            if error is self._unwritten or isinstance(error, SettingsError):
                raise  # no job is at fault
            get_logger("queue").exception("a job failed in a way that was not foreseen")
            death = len(taken) > 1  # each is tried alone, so that only the one at fault is failed
            if not death:
                self._report(Outcome(taken[0], error=_foreseen(error)))
                left = {}
        finally:  # also after Ctrl-C in a notebook
            pulse.runs([])
            with self._lock:
                self._running = set()
            gone = self._token.gone  # which nobody waits for
            self._give_back([each for job, each in left.items() if job not in gone], death=death)

    def _give_back(self, left: list[Claim], *, death: bool) -> None:
        if not left:
            return
        try:
            self._patiently(lambda: self._database.write(lambda c: claims.give_up(c, left, death=death)))
        except StoreError as error:  # whoever comes next finds them
            get_logger("queue").warning("could not give back jobs", reason=error.message)
        for each in left:
            self._tell("returned", each)

    def _outcomes(self, taken: list[Claim], pulse: Pulse) -> Generator[Outcome]:
        def step(claim: Claim, done: int, total: int, preview: object = None) -> None:
            pulse.step(claim.job, done, total)
            event = QueueEvent("step", claim.job, claim.batch, claim.title, claim.digest, done, total)
            self._queue.bus.publish(event)
            if preview is not None:
                self._tell("preview", claim, preview=preview, step=done, steps=total)

        def saving(what: str) -> None:
            get_logger("queue").warning("memory is short", given_up=what)
            self._tell("saving", reason=what)

        session, token = self._queue.session, self._token
        if taken[0].kind == PICTURE:
            yield from run_pictures(taken, session, token, step, saving, previews=self._previews)
        else:
            for each in taken:
                yield run_one(each, session, token, step)

    def _report(self, outcome: Outcome) -> None:
        """Write an outcome, and tell it; nothing of both when the job was taken away meanwhile."""
        claim, error = outcome.claim, outcome.error
        with self._lock:
            self._running.discard(claim.job)  # from now on its claim may end

        def body(connection: Connection) -> bool:
            if error is not None:
                return claims.fail(connection, claim, error, seconds=outcome.seconds)
            return claims.complete(
                connection, claim, digest=outcome.digest, seconds=outcome.seconds, stored=outcome.stored
            )

        taken = self._patiently(lambda: self._database.write(body))
        get_logger("queue").info("job over", job=claim.job, recipe=(outcome.digest or "")[:12], error=error)
        if taken and error is not None:
            self._tell("failed", claim, reason=str(error))
        elif taken:
            self._tell("finished", claim, digest=outcome.digest, stored=outcome.stored)

    def _full(self, outcome: Outcome) -> bool:
        """Pause the queue when a disk is full: every further job would be drawn for nothing."""
        if outcome.error is None or not disk_is_full(outcome.error):
            return False
        reason = f"{outcome.error.message} Free some space, then resume."
        self._patiently(lambda: self._database.write(lambda c: control.pause(c, reason)))
        self._tell("paused", reason=reason)
        return True

    def _patiently(self, action: Callable[[], T]) -> T:
        """Do what must not be lost, again and again while the database cannot be written.

        Raises:
            StoreError: it could not, for a long time, or until the worker was told to stop.
        """
        for attempt in range(PATIENCE):
            try:
                return action()
            except StoreError as error:
                if attempt == PATIENCE - 1 or self._stop.is_set():
                    self._unwritten = error
                    raise
                get_logger("queue").warning("cannot write to the queue, trying again", reason=error.message)
                self._stop.wait(WAIT)
        raise AssertionError("unreachable")

    def _taken_away(self, void: list[Claim]) -> None:
        """From the heartbeat: some of the running jobs are not ours any more."""
        self._let_go({each.job for each in void})

    def _let_go(self, gone: set[int]) -> None:
        """Stop what of these jobs runs, within one step; what is drawn beside them goes on."""
        with self._lock:
            gone = self._running & gone
            self._running -= gone
            self._token.gone |= gone
            if gone and not (self._together and self._running):
                self._token.cancel()

    def _heard(self, event: QueueEvent) -> None:
        """From the bus: a cancel in this process acts within one step, and what was submitted is begun at once."""
        if event.name == "canceled":
            self._let_go({event.job})
        elif event.name in ("submitted", "resumed"):
            self._wake.set()

    def _tell(self, name: Name, claim: Claim | None = None, **fields: object) -> None:
        about = {} if claim is None else {"job": claim.job, "batch": claim.batch, "title": claim.title}
        self._queue.bus.publish(QueueEvent(name, **about | fields))  # type: ignore[arg-type]


def _foreseen(error: Exception) -> WorkbenchError:
    """What is told of any error: one of ours as it is, another one as a bug."""
    if isinstance(error, WorkbenchError):
        return error
    return JobError(f"Unexpected error: {type(error).__name__}: {error}.", "The worker's log has more.")


_started: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """At the end of the kernel: a thread inside torch would not survive the interpreter."""
    for worker in list(_started):
        worker.stop(timeout=10)
