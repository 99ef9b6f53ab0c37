"""The tables of the queue, in the store's database; its migrations make them.

Times are for people only: no decision of the queue reads one, so a clock that jumps changes nothing but a column.
Recipes are text and not a JSON type, so that a row that was damaged by hand can still be read, listed and failed.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from workbench.store.tables import Base, UtcDateTime

batches = Table(
    "queue_batches",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, also after clearing
)
"""What was submitted together."""

jobs = Table(
    "queue_jobs",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("batch", ForeignKey("queue_batches.id"), nullable=False),
    Column("kind", String(64), nullable=False),  # name in `workbench.queue.kinds`
    Column("payload", Text, nullable=False),  # JSON; for a picture its recipe
    Column("title", Text, nullable=False),
    Column("digest", String(64), nullable=False),  # of the picture, empty for other kinds
    Column("share", String(64), nullable=False),  # equal where an engine can batch the jobs; empty: alone
    Column("state", String(16), nullable=False),  # pending, running, completed, failed, canceled
    Column("priority", Integer, nullable=False),  # higher runs first
    Column("attempts", Integer, nullable=False),  # times it was claimed
    Column("deaths", Integer, nullable=False),  # of these, how often its worker died
    Column("worker", String(32)),  # who runs it
    Column("claim", String(32)),  # of this run; a result with another one comes too late
    Column("step", Integer, nullable=False),  # done, of `steps`
    Column("steps", Integer, nullable=False),  # 0: unknown
    Column("created", UtcDateTime, nullable=False),
    Column("started", UtcDateTime),
    Column("finished", UtcDateTime),
    Column("seconds", Float),  # spent on it, by the worker's monotonic clock
    Column("note", Text, nullable=False),  # of a completed job: "stored" where the store had the picture already
    Column("code", String(16), nullable=False),  # of the error, as WB602
    Column("reason", Text, nullable=False),  # the error's sentence
    Column("remedy", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""One piece of work each."""

Index("ix_queue_jobs_next", jobs.c.state, jobs.c.priority.desc(), jobs.c.deaths, jobs.c.id)
Index("ix_queue_jobs_batch", jobs.c.batch, jobs.c.state)
Index("ix_queue_jobs_worker", jobs.c.worker)

workers = Table(
    "queue_workers",
    Base.metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),  # host and process, for people
    Column("place", Text, nullable=False),  # boot and process namespace; empty where the system does not tell
    Column("process", String(64), nullable=False),  # number and start of the process within `place`
    Column("beat", BigInteger, nullable=False),  # counts up while the worker lives
    Column("started", UtcDateTime, nullable=False),
)
"""Who works on the queue now."""

switches = Table(
    "queue_switches",
    Base.metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)
"""`paused`: the reason, while the queue is paused."""
