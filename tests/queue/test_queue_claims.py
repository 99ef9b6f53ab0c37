from __future__ import annotations

from pathlib import Path

import pytest

from tests.queue.cheap import open_queue, submit
from tests.queue.zygote import Zygote
from workbench.queue import claims, leases
from workbench.queue.queue import Queue

CLAIMS = 1000  # in this suite; `benchmarks/queue_speed.py` has two processes claim 10,000


def take(queue: Queue, worker: str, most: int = 1) -> list[int]:
    return [each.job for each in queue.database.write(lambda c: claims.claim(c, worker, most=most))]


@pytest.fixture
def worker(queue: Queue) -> str:
    return queue.database.write(leases.register)


def test_two_processes_never_claim_the_same_job(home: Path) -> None:
    queue = open_queue(home)
    submit(queue, CLAIMS)
    with Zygote(home, "tests.queue.bodies:claim_all") as zygote:
        running = [zygote.fork("one", 1), zygote.fork("two", 1)]
        assert [zygote.wait(each) for each in running] == [0, 0]
    one, two = ([int(line) for line in (home / f"claimed-{name}.txt").read_text().split()] for name in ("one", "two"))
    assert one
    assert two
    assert sorted(one + two) == [job.id for job in queue.jobs()]
    assert {job.attempts for job in queue.jobs()} == {1}


def test_the_highest_priority_comes_first_then_the_oldest(queue: Queue, worker: str) -> None:
    submit(queue, 2)
    submit(queue, 2, first=10, priority=5)
    submit(queue, 1, first=20, priority=-1)
    assert [take(queue, worker) for _ in range(6)] == [[3], [4], [1], [2], [5], []]


def test_jobs_that_share_a_batch_are_taken_together_and_overtake_no_priority(queue: Queue, worker: str) -> None:
    submit(queue, 2, share="a")
    submit(queue, 1, first=2, share="b")
    submit(queue, 3, first=3, share="a")
    submit(queue, 1, first=9, share="a", priority=1)
    assert take(queue, worker, 4) == [7]
    assert take(queue, worker, 4) == [1, 2, 4, 5]
    assert take(queue, worker, 4) == [3]
    assert take(queue, worker, 4) == [6]


def test_a_small_queue_is_shared_by_all_workers(queue: Queue, worker: str) -> None:
    other = queue.database.write(leases.register)
    submit(queue, 6, share="a")
    assert take(queue, worker, 16) == [1, 2, 3]
    assert take(queue, other, 16) == [4, 5]


def test_a_paused_queue_gives_nothing(queue: Queue, worker: str) -> None:
    submit(queue, 2)
    queue.pause("lunch")
    assert queue.paused == "lunch"
    assert take(queue, worker) == []
    queue.resume()
    assert queue.paused is None
    assert take(queue, worker) == [1]


def test_a_report_with_an_old_claim_changes_nothing(queue: Queue, worker: str) -> None:
    submit(queue, 1)
    (claim,) = queue.database.write(lambda c: claims.claim(c, worker, most=1))
    queue.cancel(1)
    assert not queue.database.write(lambda c: claims.complete(c, claim, digest="", seconds=1, stored=False))
    assert queue.job(1).state == "canceled"
    queue.retry(1)
    (again,) = queue.database.write(lambda c: claims.claim(c, worker, most=1))
    assert not queue.database.write(lambda c: claims.complete(c, claim, digest="", seconds=1, stored=False))
    assert queue.database.write(lambda c: claims.progress(c, {}, [claim, again])) == [claim]
    assert queue.database.write(lambda c: claims.complete(c, again, digest="", seconds=1, stored=False))
    assert (queue.job(1).state, queue.job(1).attempts) == ("completed", 2)


def test_only_the_wanted_kinds_are_taken(queue: Queue, worker: str) -> None:
    submit(queue, 1)
    assert queue.database.write(lambda c: claims.claim(c, worker, most=1, kinds=("picture",))) == []
    assert len(queue.database.write(lambda c: claims.claim(c, worker, most=1, kinds=("picture", "test.draw")))) == 1
