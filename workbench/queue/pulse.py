"""A worker's heartbeat: a thread that shows it is alive, looks after the others, and hears of cancels.

One transaction every `BEAT` seconds does all of it: count up, look at the other workers, return the work of dead ones,
write how far the running jobs are, and find claims that are void.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from sqlalchemy import Connection

from workbench.errors import WorkbenchError
from workbench.logs import get_logger
from workbench.queue import claims, leases
from workbench.queue.claims import Claim
from workbench.queue.database import Database

Told = Callable[[list[Claim]], None]


class Pulse:
    """The heartbeat of one worker; a context manager.

    Args:
        database: of the queue.
        void: called with claims that are void, from the heartbeat's thread.
        seconds: between two beats.
    """

    def __init__(self, database: Database, void: Told, *, seconds: float = leases.BEAT) -> None:
        self._database, self._void, self._seconds = database, void, seconds
        self._watch = leases.Watch()
        self._over = threading.Event()
        self._lock = threading.Lock()  # guards what follows
        self._running: list[Claim] = []
        self._steps: dict[int, tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._serve, name="workbench-queue-pulse", daemon=True)
        self.worker = ""

    def __enter__(self) -> Self:
        self.enter()
        self.look()  # at once, so that what a dead worker left is not waited for
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        try:
            self._database.write(lambda c: leases.leave(c, self.worker))
        except WorkbenchError as error:  # the others will find out
            get_logger("queue").warning("could not sign off", reason=error.message)

    def enter(self) -> None:
        """Register, for the first time or after having been declared dead."""
        self.worker = self._database.write(leases.register)

    def runs(self, running: list[Claim]) -> None:
        """Say what is being run now."""
        with self._lock:
            self._running, self._steps = list(running), {}

    def step(self, job: int, done: int, total: int) -> None:
        """Note how far a job is; the next beat writes it."""
        with self._lock:
            self._steps[job] = (done, total)

    def look(self) -> None:
        """One beat.

        Raises:
            StoreError: the database cannot be written; nobody is declared dead by a look that failed.
        """
        with self._lock:
            running, steps, self._steps = self._running, self._steps, {}
        void, returned = self._database.write(lambda c: self._beat(c, running, steps))
        if returned:
            get_logger("queue").warning("returned the jobs of a dead worker", jobs=returned)
        if void:
            self._void(void)

    def _beat(
        self, connection: Connection, running: list[Claim], steps: dict[int, tuple[int, int]]
    ) -> tuple[list[Claim], list[int]]:
        if not leases.beat(connection, self.worker):
            return running, []
        returned = leases.give_back(connection, self._watch.dead(connection, self.worker))
        return claims.progress(connection, steps, running), returned

    def _serve(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self.look()
            except WorkbenchError as error:
                get_logger("queue").warning("a heartbeat could not be written", reason=error.message)
            except Exception:  # noqa: BLE001 - a heart that stops beating is a worker that seems dead
                get_logger("queue").exception("a heartbeat failed in a way that was not foreseen")
