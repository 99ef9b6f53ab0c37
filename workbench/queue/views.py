"""What the queue holds, as frozen rows for panels, the command line and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, func, select

from workbench.errors import nearest
from workbench.queue.claims import ORDER
from workbench.queue.errors import QueueError
from workbench.queue.tables import batches, jobs, workers

State = Literal["pending", "running", "completed", "failed", "canceled"]
STATES: tuple[State, ...] = get_args(State)
OPEN: tuple[State, ...] = ("pending", "running")


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it is now."""

    id: int
    batch: int
    kind: str
    title: str
    digest: str  # of its picture; empty for other kinds
    state: State
    priority: int
    attempts: int
    deaths: int
    worker: str  # host and process that runs it; empty when nobody does
    step: int
    steps: int  # 0: unknown
    created: datetime
    started: datetime | None
    finished: datetime | None
    seconds: float | None
    stored: bool  # completed without work, as the store had the picture
    code: str
    reason: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        times = {name: _iso(getattr(self, name)) for name in ("created", "started", "finished")}
        return asdict(self) | times


@dataclass(frozen=True, slots=True)
class Batch:
    """What was submitted together, and how far it is."""

    id: int
    title: str
    created: datetime
    counts: dict[State, int]

    @property
    def total(self) -> int:
        """Jobs in it."""
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Jobs that wait or run."""
        return sum(self.counts[state] for state in OPEN)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"id": self.id, "title": self.title, "created": _iso(self.created), "total": self.total} | self.counts


_COLUMNS = [column for column in jobs.c if column.name not in ("payload", "share", "claim", "note", "worker")]


def list_jobs(
    connection: Connection, *conditions: ColumnElement[bool], limit: int | None = None, newest: bool = False
) -> list[Job]:
    """Jobs that meet all conditions.

    Args:
        connection: of a reading transaction.
        conditions: on the columns of `tables.jobs`.
        limit: the most jobs; None: all.
        newest: the latest submitted first, instead of the order in which they run.
    """
    order = (jobs.c.id.desc(),) if newest else ORDER
    query = (
        select(*_COLUMNS, workers.c.name.label("worker"), (jobs.c.note == "stored").label("stored"))
        .outerjoin(workers, workers.c.id == jobs.c.worker)
        .where(*conditions)
        .order_by(*order)
        .limit(limit)
    )
    return [_job(row._mapping) for row in connection.execute(query)]


def count(connection: Connection, *conditions: ColumnElement[bool]) -> dict[State, int]:
    """How many jobs are in each state."""
    query = select(jobs.c.state, func.count()).where(*conditions).group_by(jobs.c.state)
    found = {row[0]: row[1] for row in connection.execute(query)}
    return {state: found.get(state, 0) for state in STATES}


def list_batches(connection: Connection, *conditions: ColumnElement[bool], limit: int | None = None) -> list[Batch]:
    """Batches with their counts, the latest first."""
    query = select(batches).where(*conditions).order_by(batches.c.id.desc()).limit(limit)
    rows = connection.execute(query).all()
    counts = {row.id: dict.fromkeys(STATES, 0) for row in rows}
    numbers = (
        select(jobs.c.batch, jobs.c.state, func.count())
        .where(jobs.c.batch.in_(list(counts)))
        .group_by(jobs.c.batch, jobs.c.state)
    )
    for batch, state, number in connection.execute(numbers):
        if state in STATES:
            counts[batch][state] = number
    return [Batch(row.id, row.title, row.created, counts[row.id]) for row in rows]


def check_states(states: Sequence[str]) -> None:
    """Refuse a state that does not exist.

    Raises:
        QueueError: with the nearest right one.
    """
    for state in states:
        if state not in STATES:
            raise QueueError(f"There is no state {state!r}.", nearest(state, STATES))


def _job(row: Any) -> Job:
    values = dict(row)
    return Job(**values | {"worker": values["worker"] or "", "stored": bool(values["stored"])})


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
