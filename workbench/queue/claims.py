"""Take jobs, report on them, return them: each one short transaction.

A claim is fenced. Every job that is taken carries the mark of this run, and whatever is reported later must show it:
when the job was canceled, or given to another worker because this one seemed dead, the report changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, func, select, update

from workbench.errors import WorkbenchError
from workbench.queue.leases import beat
from workbench.queue.tables import jobs, switches, workers

ORDER = (jobs.c.priority.desc(), jobs.c.deaths, jobs.c.id)
AHEAD = 256  # how far a claim looks for jobs that share a batch with the next one; also how far they may overtake
PAUSED = "paused"  # name of the switch


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that one worker runs now."""

    job: int
    batch: int
    kind: str
    payload: str
    title: str
    digest: str
    attempts: int  # this one included
    mark: str  # what a report must show


_COLUMNS = (
    jobs.c.id.label("job"),
    *(jobs.c[name] for name in ("batch", "kind", "payload", "title", "digest", "attempts")),
)


class LostError(Exception):
    """This worker was declared dead: it must register anew, and its claims are void."""


def claim(connection: Connection, worker: str, *, most: int, kinds: tuple[str, ...] = ()) -> list[Claim]:
    """Take the next job, and those that an engine can batch with it.

    The next one is the oldest of the highest priority; one whose worker died comes after the others of its priority, and
    is taken alone, so that a job that kills its worker neither blocks the queue nor takes others along. Otherwise up to
    `most` of the same share and priority join, but no more than leaves each live worker its part.

    Args:
        connection: of a writing transaction.
        worker: who takes them.
        most: jobs at once.
        kinds: take only jobs of these kinds; empty: of all.

    Raises:
        LostError: `worker` is not registered any more.
    """
    if not beat(connection, worker):
        raise LostError
    if paused(connection) is not None:
        return []
    columns = (jobs.c.id, jobs.c.share, jobs.c.priority, jobs.c.deaths)
    query = select(*columns).where(jobs.c.state == "pending").order_by(*ORDER).limit(AHEAD)
    if kinds:
        query = query.where(jobs.c.kind.in_(kinds))
    waiting = connection.execute(query).all()
    if not waiting:
        return []
    head = waiting[0]
    wanted = [head.id]
    if head.share and not head.deaths:
        alike = [row.id for row in waiting if (row.share, row.priority, row.deaths) == (head.share, head.priority, 0)]
        alive = connection.execute(select(func.count()).select_from(workers)).scalar_one()
        wanted = alike[: min(most, -(-len(alike) // max(1, alive)))]
    if connection.dialect.name != "sqlite":  # whose writers take turns anyway
        lock = select(jobs.c.id).where(jobs.c.id.in_(wanted), jobs.c.state == "pending").order_by(jobs.c.id)
        wanted = list(connection.execute(lock.with_for_update(skip_locked=True)).scalars())
    mark = uuid4().hex
    taken = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(wanted), jobs.c.state == "pending")
        .values(
            state="running",
            worker=worker,
            claim=mark,
            attempts=jobs.c.attempts + 1,
            started=datetime.now(UTC),
            finished=None,
            step=0,
        )
        .returning(*_COLUMNS)
    ).all()
    return [Claim(**row._mapping, mark=mark) for row in sorted(taken, key=lambda row: row.job)]


def paused(connection: Connection) -> str | None:
    """Why the queue is paused, or None when it is not."""
    row = connection.execute(select(switches.c.value).where(switches.c.name == PAUSED)).first()
    return None if row is None else str(row.value)


def complete(connection: Connection, claim: Claim, *, digest: str, seconds: float, stored: bool) -> bool:
    """Report a job as done. Returns False when the report comes too late."""
    values = {"state": "completed", "seconds": seconds, "note": "stored" if stored else "", "step": jobs.c.steps}
    return _report(
        connection, claim, values | {"digest": digest or claim.digest, "code": "", "reason": "", "remedy": ""}
    )


def fail(connection: Connection, claim: Claim, error: WorkbenchError, *, seconds: float) -> bool:
    """Report why a job cannot be done. Returns False when the report comes too late."""
    texts = {"code": error.code, "reason": plain(error.message), "remedy": plain(error.remedy)}
    return _report(connection, claim, {"state": "failed", "seconds": seconds} | texts)


def give_up(connection: Connection, claims: list[Claim], *, death: bool = False) -> None:
    """Return claimed jobs to the queue.

    Args:
        connection: of a writing transaction.
        claims: those that are void already are left alone.
        death: count it as if the worker had died, so that each is tried alone next time.
    """
    count: dict[str, Any] = {"deaths": jobs.c.deaths + 1} if death else {}
    for each in claims:
        _report(connection, each, {"state": "pending", "step": 0, "started": None} | count, over=False)


def progress(connection: Connection, steps: dict[int, tuple[int, int]], claims: list[Claim]) -> list[Claim]:
    """Note how far the jobs of `claims` are.

    Args:
        connection: of a writing transaction.
        steps: job -> steps done, and of how many.
        claims: what is being run.

    Returns:
        The claims that are void: canceled, or given to somebody else.
    """
    if not claims:
        return []
    query = select(jobs.c.id, jobs.c.claim).where(jobs.c.id.in_([each.job for each in claims]))
    marks = {row.id: row.claim for row in connection.execute(query)}
    for each in claims:
        if each.job in steps and marks.get(each.job) == each.mark:
            done, total = steps[each.job]
            _report(connection, each, {"step": done, "steps": total}, release=False, over=False)
    return [each for each in claims if marks.get(each.job) != each.mark]


def plain(text: str) -> str:
    """`text` as every database keeps it: no NUL, no half characters."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _report(
    connection: Connection, claim: Claim, values: dict[str, Any], *, release: bool = True, over: bool = True
) -> bool:
    if release:
        values = values | {"worker": None, "claim": None}
    if over:
        values = values | {"finished": datetime.now(UTC)}
    done = connection.execute(update(jobs).where(jobs.c.id == claim.job, jobs.c.claim == claim.mark).values(values))
    return done.rowcount == 1
