"""Full disks, locked and read-only databases, clocks that jump."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from tests.queue.cheap import open_queue, submit
from workbench.errors import StoreError
from workbench.queue import claims, control, leases
from workbench.queue import submit as submission
from workbench.queue.queue import Queue
from workbench.store import database

JOBS = 12


def test_a_full_disk_pauses_the_queue_and_loses_nothing(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(queue, JOBS, share="a")
    sync, calls = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 7:  # in the middle of the fourth picture: each syncs its file and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    worker = queue.worker()
    worker.start()
    while queue.paused is None:
        time.sleep(0.01)
    assert worker.stop()
    counts = queue.counts()
    assert counts == {"pending": JOBS - 3, "running": 0, "completed": 3, "failed": 0, "canceled": 0}
    assert "no space left" in str(queue.paused).lower()
    assert not list(queue.session.store.pictures.glob("*/.*"))  # nothing half-written
    monkeypatch.setattr(os, "fsync", sync)
    queue.resume()
    queue.work()
    assert queue.counts()["completed"] == JOBS


def test_a_full_database_takes_a_submission_whole_or_not_at_all(queue: Queue) -> None:
    submit(queue, 1)

    def shrink(connection: Any, _record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 8}")

    queue.database.engine.dispose()
    event.listen(queue.database.engine, "connect", shrink)
    with pytest.raises(StoreError, match="full"):
        submit(queue, 2000)
    assert queue.counts()["pending"] == 1
    event.remove(queue.database.engine, "connect", shrink)
    queue.database.engine.dispose()
    submit(queue, 200)
    assert queue.counts()["pending"] == 201


def test_a_locked_database_is_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.02)
    queue = open_queue(home)
    submit(queue, JOBS)
    locks: list[sqlite3.Connection] = []

    def lock(_: object) -> None:
        if not locks:
            locks.append(sqlite3.connect(home / "workbench.sqlite", isolation_level=None, check_same_thread=False))
            locks[0].execute("BEGIN EXCLUSIVE")

    queue.bus.subscribe(lock)  # from the first event on: a job has been claimed
    with capture_logs() as logs:
        worker = queue.worker(beat=0.05)
        worker.start()
        while len({entry["event"] for entry in logs}) < 2:  # reports and heartbeats both failed
            time.sleep(0.01)
        assert queue.counts()["completed"] == 0  # reading goes on
        locks[0].execute("ROLLBACK")
        locks[0].close()
        queue.work()
        assert worker.stop()
    assert worker.error is None
    counts = queue.counts()
    # A picture that could not be entered while the database was locked has failed, with the reason; no other.
    assert counts["completed"] + counts["failed"] == JOBS
    assert all("locked" in job.reason for job in queue.jobs("failed"))
    assert counts["failed"] <= 1


@pytest.fixture
def read_only_home(home: Path) -> Iterator[Path]:
    queue = open_queue(home)
    submit(queue, 3)
    queue.work()
    queue.database.close()
    for path in (home / "workbench.sqlite", home):
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    for parent in list(home.parents)[:3]:
        if root and parent != Path(parent.anchor):
            parent.chmod(0o755)
    if root:
        os.seteuid(65534)
    try:
        yield home
    finally:
        if root:
            os.seteuid(0)
        home.chmod(0o755)


def test_a_read_only_database_is_listed_and_says_why_nothing_can_be_submitted(read_only_home: Path) -> None:
    queue = open_queue(read_only_home)
    assert queue.counts()["completed"] == 3
    with pytest.raises(StoreError, match=r"read-?only"):
        submit(queue, 1)
    with pytest.raises(StoreError, match=r"read-?only"):
        queue.work()
    assert queue.counts()["completed"] == 3


def test_a_clock_that_jumps_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=draw.uniform(-9999, 9999))

    for module in (claims, control, leases, submission):
        monkeypatch.setattr(module, "datetime", Jumping)
    monkeypatch.setattr(time, "time", lambda: draw.uniform(0, 4e9))
    clock = time.monotonic
    monkeypatch.setattr("workbench.queue.run.time.monotonic", lambda: clock() + draw.uniform(-1e6, 1e6))
    queue = open_queue(home)
    submit(queue, 30, share="a")
    submit(queue, 1, first=99, priority=1)
    workers = [queue.worker(most=2, beat=0.005) for _ in range(2)]
    for worker in workers:
        worker.start()
    while queue.counts()["completed"] < 31:
        time.sleep(0.01)
    assert all(worker.stop() for worker in workers)
    assert {job.deaths for job in queue.jobs()} == {0}
    assert {job.attempts for job in queue.jobs()} == {1}
    drawn = (home / "drawn.txt").read_text().split()
    assert len(drawn) == len(set(drawn)) == 31
