"""Orders to the queue: cancel, retry, reprioritise, clear, pause, resume. Each is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from workbench.queue.claims import PAUSED, plain
from workbench.queue.tables import batches, jobs, switches
from workbench.queue.views import OPEN

BACK = ("failed", "canceled")  # what can be retried
OVER = ("completed", *BACK)


def chosen(ids: Sequence[int], batch: int | None) -> list[ColumnElement[bool]]:
    """The condition that selects jobs by number and by batch; none of both selects all."""
    conditions: list[ColumnElement[bool]] = []
    if ids:
        conditions.append(jobs.c.id.in_(list(ids)))
    if batch is not None:
        conditions.append(jobs.c.batch == batch)
    return conditions


def cancel(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> list[tuple[int, int]]:
    """Cancel what waits or runs. Whoever runs one finds its claim void at the next heartbeat, and stops.

    Returns:
        The number and the batch of each job that was canceled.
    """
    return _change(
        connection,
        [jobs.c.state.in_(OPEN), *conditions],
        {"state": "canceled", "worker": None, "claim": None, "finished": datetime.now(UTC)},
    )


def retry(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> list[tuple[int, int]]:
    """Put what failed or was canceled back in its place. Returns number and batch of each."""
    empty = {"code": "", "reason": "", "remedy": "", "started": None, "finished": None, "seconds": None}
    return _change(
        connection, [jobs.c.state.in_(BACK), *conditions], {"state": "pending", "deaths": 0, "step": 0, **empty}
    )


def prioritise(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], priority: int
) -> list[tuple[int, int]]:
    """Give what waits another priority. Returns number and batch of each."""
    return _change(connection, [jobs.c.state == "pending", *conditions], {"priority": priority})


def clear(connection: Connection, conditions: Sequence[ColumnElement[bool]], *, waiting: bool) -> int:
    """Forget jobs that are over, and with `waiting` also those that have not begun. Pictures stay in the store.

    Returns:
        How many.
    """
    states = (*OVER, "pending") if waiting else OVER
    removed = connection.execute(delete(jobs).where(jobs.c.state.in_(states), *conditions)).rowcount
    connection.execute(delete(batches).where(~select(jobs.c.id).where(jobs.c.batch == batches.c.id).exists()))
    return removed


def pause(connection: Connection, reason: str) -> None:
    """Take no more jobs from now on; what runs goes on."""
    resume(connection)
    connection.execute(insert(switches).values(name=PAUSED, value=plain(reason)))


def resume(connection: Connection) -> bool:
    """End a pause. Returns whether there was one."""
    return connection.execute(delete(switches).where(switches.c.name == PAUSED)).rowcount > 0


def _change(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], values: dict[str, object]
) -> list[tuple[int, int]]:
    done = connection.execute(update(jobs).where(*conditions).values(values).returning(jobs.c.id, jobs.c.batch))
    return sorted((row.id, row.batch) for row in done)
