from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from tests.queue.cheap import open_queue, submit
from tests.queue.zygote import Zygote
from workbench.queue import claims, leases
from workbench.queue.claims import Claim, LostError
from workbench.queue.leases import LEASE, MAX_DEATHS, Watch
from workbench.queue.pulse import Pulse
from workbench.queue.queue import Queue
from workbench.queue.tables import jobs, workers


def elsewhere(queue: Queue) -> str:
    """A worker on another machine: nothing but its heartbeat tells whether it lives."""
    worker = queue.database.write(leases.register)
    queue.database.write(lambda c: c.execute(update(workers).where(workers.c.id == worker).values(place="other boot")))
    return worker


def take(queue: Queue, worker: str, most: int = 1) -> list[Claim]:
    return queue.database.write(lambda c: claims.claim(c, worker, most=most))


def look(queue: Queue, watch: Watch) -> list[int]:
    return queue.database.write(lambda c: leases.give_back(c, watch.dead(c)))


def test_a_worker_is_dead_when_its_beat_stood_still_for_a_lease_of_looks(queue: Queue) -> None:
    submit(queue, 2)
    silent, alive = elsewhere(queue), elsewhere(queue)
    take(queue, silent)
    take(queue, alive)
    watch = Watch()
    for _ in range(LEASE):
        assert look(queue, watch) == []
        queue.database.write(lambda c: leases.beat(c, alive))
    assert look(queue, watch) == [1]
    assert [(job.id, job.state, job.deaths) for job in queue.jobs()] == [(2, "running", 0), (1, "pending", 1)]
    with pytest.raises(LostError):
        take(queue, silent)


def test_one_beat_begins_the_lease_anew(queue: Queue) -> None:
    submit(queue, 1)
    slow = elsewhere(queue)
    take(queue, slow)
    watch = Watch()
    for _ in range(3):
        for _ in range(LEASE):
            assert look(queue, watch) == []
        queue.database.write(lambda c: leases.beat(c, slow))


def test_a_killed_process_of_this_machine_is_known_at_once(home: Path) -> None:
    queue = open_queue(home)
    submit(queue, 4, share="a")
    with Zygote(home, "tests.queue.bodies:hang") as zygote:
        process = zygote.fork()
        while not (home / "hangs").exists():
            time.sleep(0.01)
        watch = Watch()
        assert look(queue, watch) == []
        assert queue.counts()["running"] == 4
        zygote.kill(process)
        assert look(queue, watch) == [1, 2, 3, 4]
    assert queue.counts()["pending"] == 4


def test_a_number_that_another_process_has_now_is_not_the_worker(queue: Queue) -> None:
    worker = queue.database.write(leases.register)
    mark = leases.process_mark(os.getpid())
    assert mark.startswith(f"{os.getpid()} ")
    assert queue.database.write(lambda c: Watch().dead(c)) == []
    earlier = f"{os.getpid()} 1"
    queue.database.write(lambda c: c.execute(update(workers).values(process=earlier)))
    assert queue.database.write(lambda c: Watch().dead(c)) == [worker]
    assert leases.process_mark(2**22 + 1) == ""


def test_running_jobs_that_nobody_runs_are_given_back(queue: Queue) -> None:
    """As after an edit by hand."""
    submit(queue, 2)
    worker = queue.database.write(leases.register)
    take(queue, worker)
    take(queue, worker)
    queue.database.write(lambda c: c.execute(update(jobs).where(jobs.c.id == 2).values(worker=None)))
    queue.database.write(lambda c: c.execute(delete(workers)))
    queue.work()
    assert queue.counts()["completed"] == 2


def test_a_job_that_kills_its_workers_is_tried_alone_and_ends(queue: Queue) -> None:
    submit(queue, 2, share="a")
    for death in range(MAX_DEATHS):
        worker = elsewhere(queue)
        taken = take(queue, worker, 8)
        assert [each.job for each in taken] == ([1, 2] if death == 0 else [1])
        queue.database.write(lambda c, dead=worker: leases.give_back(c, [dead]))  # type: ignore[misc]
        if death == 0:
            submit(queue, 1, first=5, share="a")
            assert [job.id for job in queue.jobs()] == [3, 1, 2]  # nobody waits behind it
            queue.cancel(2, 3)
    job = queue.job(1)
    assert (job.state, job.code) == ("failed", "WB602")
    assert f"died {MAX_DEATHS} times" in job.reason
    assert queue.retry(1) == 1
    queue.work()
    assert queue.job(1).state == "completed"


def test_a_worker_that_was_declared_dead_hears_that_its_claims_are_void(queue: Queue) -> None:
    submit(queue, 1)
    void: list[Claim] = []
    with Pulse(queue.database, void.extend, seconds=3600) as pulse:
        (claim,) = take(queue, pulse.worker)
        pulse.runs([claim])
        pulse.look()
        assert void == []
        queue.database.write(lambda c: leases.give_back(c, [pulse.worker]))
        pulse.look()
        assert void == [claim]
        pulse.enter()
        assert take(queue, pulse.worker)[0].attempts == 2


def test_a_worker_that_ends_well_leaves_nothing_behind(queue: Queue) -> None:
    submit(queue, 1)
    queue.work()
    assert queue.database.read(lambda c: c.execute(workers.select()).all()) == []
