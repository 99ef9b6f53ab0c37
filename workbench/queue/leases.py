"""Who is alive: leases that are counted in heartbeats, not in seconds.

Every worker counts its `beat` up, and in the same transaction looks at the beats of the others. A worker whose beat
stood still during `LEASE` of another worker's own beats is dead, and its work is given back. No clock is read, neither
the wall's nor a monotonic one, and none is compared with another machine's: a clock that jumps, a machine that was
suspended or a database that was locked for a while delays everybody's counting alike and declares nobody dead.

Where the system tells (Linux), a worker that ran on this machine since its last start is known to be dead at once, by
the number and the start tick of its process. A worker that was declared dead too early does no harm: its claim is void,
so what it reports is not taken, and its pictures are in the store under their digest.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, case, delete, insert, select, update

from workbench.queue.tables import jobs, workers

BEAT = 0.5  # seconds between two heartbeats; also how late a cancel from another process is heard
LEASE = 60  # beats of the observer: about 30 seconds
MAX_DEATHS = 10  # of its workers, before a job is taken to be the cause

PROC = Path("/proc")


def this_place() -> str:
    """The boot and the process namespace that process numbers belong to, or an empty text where nothing tells."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def process_mark(number: int) -> str:
    """Number and start tick of a process, which no later process shares; an empty text when there is none (any more)."""
    try:
        text = (PROC / str(number) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return "" if state in "ZX" else f"{number} {fields[18]}"  # a zombie runs nothing


def register(connection: Connection) -> str:
    """Enter a new worker of this process. Returns its id."""
    worker = uuid4().hex
    connection.execute(
        insert(workers).values(
            id=worker,
            name=f"{socket.gethostname()}:{os.getpid()}",
            place=this_place(),
            process=process_mark(os.getpid()) or str(os.getpid()),
            beat=0,
            started=datetime.now(UTC),
        )
    )
    return worker


def beat(connection: Connection, worker: str) -> bool:
    """Count up. Returns False when the worker was declared dead meanwhile: it must register anew, its claims are void."""
    done = connection.execute(update(workers).where(workers.c.id == worker).values(beat=workers.c.beat + 1))
    return done.rowcount == 1


class Watch:
    """What one worker has seen of the others' beats."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}  # worker -> its beat, and my looks since it last moved
        self._place = this_place()

    def dead(self, connection: Connection, me: str = "") -> list[str]:
        """Look once. Call it in the transaction of the observer's own beat: a look that cannot write does not count.

        Returns:
            The ids of workers that are dead.
        """
        found, seen = [], {}
        for row in connection.execute(select(workers)):
            if row.id == me:
                continue
            before, looks = self._seen.get(row.id, (None, 0))
            looks = looks + 1 if before == row.beat else 0
            seen[row.id] = (row.beat, looks)
            gone = bool(self._place) and row.place == self._place and self._ended(row.process)
            if gone or looks >= LEASE:
                found.append(row.id)
        self._seen = seen
        return found

    @staticmethod
    def _ended(process: str) -> bool:
        number, _, start = process.partition(" ")
        return bool(start) and process_mark(int(number)) != process


def give_back(connection: Connection, dead: list[str]) -> list[int]:
    """Return the running jobs of dead workers, and of workers nobody knows, to the queue. Returns their numbers.

    A job whose worker died waits behind the others of its priority, so that one that kills its workers blocks nothing;
    after `MAX_DEATHS` it is failed instead.
    """
    if dead:
        connection.execute(delete(workers).where(workers.c.id.in_(dead)))
    nobody = jobs.c.worker.is_(None) | jobs.c.worker.not_in(select(workers.c.id))
    lost = (jobs.c.state == "running") & nobody
    found = [row.id for row in connection.execute(select(jobs.c.id).where(lost))]
    if not found:
        return []
    last = jobs.c.deaths + 1 >= MAX_DEATHS
    connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(found), lost)
        .values(
            state=case((last, "failed"), else_="pending"),
            code=case((last, "WB602"), else_=""),
            reason=case((last, f"Its worker died {MAX_DEATHS} times while it ran."), else_=""),
            remedy=case((last, "Look into the worker's log, make the job smaller, and retry it."), else_=""),
            finished=case((last, datetime.now(UTC)), else_=None),
            deaths=jobs.c.deaths + 1,
            worker=None,
            claim=None,
            step=0,
        )
    )
    return found


def leave(connection: Connection, worker: str) -> None:
    """Take a worker that ends in good order off the list; its claims are returned first."""
    connection.execute(delete(workers).where(workers.c.id == worker))
