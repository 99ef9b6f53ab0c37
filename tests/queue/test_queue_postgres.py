"""The same promises on a real PostgreSQL server, which these tests start from Debian's package."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.queue.cheap import open_queue, resolved, submit
from tests.queue.zygote import Zygote
from workbench.errors import StoreError
from workbench.queue import claims, leases
from workbench.queue.queue import Queue

CLAIMS = 400


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps them out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    named = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(named).parent if named else None


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The folder of the socket of a server that runs for this module."""
    place = programs()
    if place is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed (pip install 'flux-workbench[postgres]')")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short: a socket's path has 107 bytes
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = {"user": "nobody"}
        shutil.chown(folder, "nobody")

    def call(*words: str) -> None:
        subprocess.run([str(place / words[0]), *words[1:]], check=True, cwd=folder, stdout=subprocess.DEVNULL, **user)

    data = folder / "data"
    call("initdb", "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    call("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield str(folder)
    finally:
        call("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def url(server: str) -> str:
    """An empty database of its own."""
    import psycopg

    name = f"t{uuid4().hex}"
    with psycopg.connect(host=server, user="tester", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://tester@/{name}?host={server}"


@pytest.fixture
def queue(home: Path, url: str) -> Iterator[Queue]:
    made = open_queue(home, url)
    yield made
    made.database.close()


def test_jobs_are_submitted_run_canceled_retried_and_cleared(queue: Queue, home: Path) -> None:
    submit(queue, 20, share="a")
    submit(queue, 2, first=50, priority=3)
    assert [job.id for job in queue.jobs(limit=3)] == [21, 22, 1]
    assert queue.cancel(1, 2) == 2
    queue.pause("a reason")
    assert queue.paused == "a reason"
    queue.resume()
    queue.work()
    assert queue.counts() == {"pending": 0, "running": 0, "completed": 20, "failed": 0, "canceled": 2}
    assert queue.retry() == 2
    queue.work()
    drawn = (home / "drawn.txt").read_text().split()
    assert len(drawn) == len(set(drawn)) == 22
    assert len(queue.session.store.recent(limit=100)) == 22
    assert queue.clear() == 22


def test_processes_that_start_together_claim_no_job_twice(home: Path, url: str) -> None:
    queue = open_queue(home, url)
    submit(queue, CLAIMS, share="a")
    with Zygote(home, "tests.queue.bodies:claim_all", url) as zygote:
        running = [zygote.fork(name, most) for name, most in (("one", 1), ("two", 3))]
        assert [zygote.wait(each) for each in running] == [0, 0]
    claimed = [int(line) for name in ("one", "two") for line in (home / f"claimed-{name}.txt").read_text().split()]
    assert sorted(claimed) == [job.id for job in queue.jobs()]
    queue.database.close()


def test_killed_workers_lose_and_repeat_nothing(home: Path, url: str) -> None:
    queue = open_queue(home, url)
    submit(queue, 30, share="a")
    with Zygote(home, "tests.queue.bodies:work", url) as zygote:
        for _ in range(3):
            worker = zygote.fork(4)
            before = queue.counts()["completed"]
            while queue.counts()["completed"] == before:
                time.sleep(0.001)
            zygote.kill(worker)
        assert zygote.wait(zygote.fork(4)) == 0
    assert queue.counts()["completed"] == 30
    drawn = (home / "drawn.txt").read_text().split()
    assert len(drawn) == len(set(drawn))
    assert {path.stem for path in queue.session.store.pictures.glob("*/[!.]*.png")} == {
        resolved(seed).digest for seed in range(30)
    }
    queue.database.close()


def test_a_deadlock_is_gone_through_again(queue: Queue) -> None:
    """Two transactions take the same two rows in opposite order; the server ends one, and it is done again."""
    import threading

    from sqlalchemy import update

    from workbench.queue.tables import jobs

    submit(queue, 2)
    both = threading.Barrier(2)
    tries = [0, 0]

    def swap(me: int, first: int, second: int) -> None:
        def body(connection: Any) -> None:
            tries[me] += 1
            connection.execute(update(jobs).where(jobs.c.id == first).values(priority=me))
            if tries[me] == 1:
                both.wait(60)
            connection.execute(update(jobs).where(jobs.c.id == second).values(priority=me))

        queue.database.write(body)

    threads = [threading.Thread(target=swap, args=(0, 1, 2)), threading.Thread(target=swap, args=(1, 2, 1))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    assert 3 <= sum(tries) <= 4  # the server ends one of the two, or both when they notice at once
    assert len({job.priority for job in queue.jobs()}) == 1


def test_a_server_that_is_gone_is_a_sentence(home: Path, tmp_path: Path) -> None:
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed (pip install 'flux-workbench[postgres]')")
    with pytest.raises(StoreError, match="cannot be used"):
        open_queue(home, f"postgresql+psycopg://tester:secret@/none?host={tmp_path}")


def test_a_share_of_the_jobs_is_left_to_every_worker(queue: Queue) -> None:
    one, two = (queue.database.write(leases.register) for _ in range(2))
    submit(queue, 6, share="a")
    assert len(queue.database.write(lambda c: claims.claim(c, one, most=16))) == 3
    assert len(queue.database.write(lambda c: claims.claim(c, two, most=16))) == 2
