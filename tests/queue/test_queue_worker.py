"""The worker on a tiny real model, and on a cheap kind of job where no model matters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from tests.queue.cheap import open_queue, submit
from workbench.errors import SettingsError, WorkbenchError
from workbench.grid import Grid
from workbench.queue import QueueEvent, Sweep
from workbench.queue.kinds import Context, register
from workbench.queue.queue import Queue
from workbench.queue.tables import jobs
from workbench.recipe import Recipe
from workbench.session import Session
from workbench.settings import settings

SMALL: dict[str, Any] = {"model": "tiny-base", "width": 64, "height": 64, "steps": 2}


@pytest.fixture(scope="module")
def session(tiny_klein: Any, tiny_home: Path) -> Session:
    return Session(settings(home=tiny_home, models=tiny_klein.root, device="cpu", batch_size=4))


@pytest.fixture
def drawing(session: Session) -> Iterator[Queue]:
    """A queue on the tiny models, empty."""
    queue = Queue(session)
    queue.cancel()
    queue.clear()
    yield queue
    queue.database.close()


def small(seed: int, **fields: Any) -> Recipe:
    return Recipe(**{"prompt": "a red dot", "seed": seed} | SMALL | fields)


def states(queue: Queue, batch: int | None = None) -> list[str]:
    return [job.state for job in sorted(queue.jobs(batch=batch), key=lambda job: job.id)]


def test_a_list_a_sweep_and_a_grid_are_drawn_and_stored(drawing: Queue) -> None:
    sweep = Sweep(SMALL, [{"zip": [{"field": "prompt", "values": ["a", "b"]}, {"field": "seed", "values": [1, 2]}]}])
    grid = Grid(SMALL | {"prompt": "a red dot"}, [{"adapters": ["none", "plain"]}], seeds=2)
    batches = [drawing.submit([small(1), small(2)]), drawing.submit(sweep), drawing.submit(grid, title="both")]
    assert [batch.total for batch in batches] == [2, 2, 4]
    events: list[QueueEvent] = []
    leave = drawing.bus.subscribe(events.append)
    drawing.work(previews=True)
    leave()
    assert states(drawing) == ["completed"] * 8
    for job in drawing.jobs():
        stored = drawing.session.store.get(job.digest)
        assert stored is not None
        assert stored.recipe.prompt == Recipe.parse(json.loads(drawing.payload(job.id))).prompt
        assert (job.step, job.steps, job.worker, job.reason) == (2, 2, "", "")
    names = [event.name for event in events]
    assert names.count("started") == names.count("finished") == 8
    assert names.count("step") == 16
    assert "preview" in names
    titles = [job.title for job in drawing.jobs(batch=batches[2].id)]
    assert titles == [
        "Adapter = none, Seed = 0",
        "Adapter = none, Seed = 1",
        "Adapter = plain, Seed = 0",
        "Adapter = plain, Seed = 1",
    ]
    again = drawing.submit(grid)
    drawing.work()
    assert all(job.stored for job in drawing.jobs(batch=again.id))


def test_damaged_jobs_fail_with_their_reason_and_the_rest_goes_on(drawing: Queue) -> None:
    drawing.submit([small(seed, prompt="a blue dot") for seed in range(6)])
    numbers = sorted(job.id for job in drawing.jobs())
    damage = ['{"prompt": "cut o', '["no", "mapping"]', '{"steps": 2.5}', '{"model": "gone"}', '{"1": {"2": []}}']
    for number, payload in zip(numbers, damage, strict=False):
        change = update(jobs).where(jobs.c.id == number).values(payload=payload)
        drawing.database.write(lambda c, change=change: c.execute(change))  # type: ignore[misc]
    drawing.database.write(
        lambda c: c.execute(text("UPDATE queue_jobs SET step = 'x' WHERE id = :id"), {"id": numbers[4]})
    )
    drawing.work()
    assert states(drawing) == ["failed"] * 5 + ["completed"]
    found = {job.id: job for job in drawing.jobs()}
    reasons = [found[number].reason for number in numbers[:5]]
    assert [found[number].code for number in numbers[:5]] == ["WB602", "WB602", "WB101", "WB102", "WB101"]
    assert "damaged" in reasons[0]
    assert "'steps' cannot be 2.5" in reasons[2]
    assert all(found[number].remedy for number in numbers[:4])


def test_a_cancelled_job_stops_within_a_step_and_its_neighbours_are_finished(drawing: Queue) -> None:
    drawing.submit([small(seed, steps=6, prompt="a green dot") for seed in range(3)])
    first, *rest = sorted(job.id for job in drawing.jobs())
    seen: list[int] = []
    others: list[int] = []
    names: list[str] = []

    def stop(event: QueueEvent) -> None:
        names.append(event.name)
        if event.name == "step" and event.job == first:
            seen.append(event.step)
            if event.step == 2:
                drawing.cancel(first)
        elif event.name == "step":
            others.append(event.step)

    leave = drawing.bus.subscribe(stop)
    drawing.work()
    leave()
    assert drawing.job(first).state == "canceled"
    assert seen == [1, 2]
    assert [drawing.job(number).state for number in rest] == ["completed", "completed"]
    assert sorted(others) == sorted([1, 2, 3, 4, 5, 6] * 2)  # no step of theirs is done twice
    assert [drawing.job(number).attempts for number in rest] == [1, 1]
    assert "returned" not in names
    assert not drawing.session.store.known([drawing.job(first).digest])
    assert drawing.retry() == 1
    drawing.work()
    assert drawing.job(first).state == "completed"


def test_a_picture_that_another_job_wants_is_drawn_all_the_same(drawing: Queue) -> None:
    """Two jobs of one picture: canceling one keeps it, canceling both ends it, and the third picture is not disturbed."""
    for canceled, drawn in ((1, True), (2, False)):
        twin = small(canceled, steps=6, prompt="a twin dot")
        drawing.submit([twin, twin, small(9 + canceled, steps=6, prompt="a twin dot")])
        pair = sorted(job.id for job in drawing.jobs("pending"))[:2]
        told = False

        def stop(event: QueueEvent, pair: list[int] = pair, count: int = canceled) -> None:
            nonlocal told
            if event.name == "step" and event.step == 2 and not told:
                told = True
                for number in pair[:count]:
                    drawing.cancel(number)

        leave = drawing.bus.subscribe(stop)
        drawing.work()
        leave()
        assert [drawing.job(number).state for number in pair].count("canceled") == canceled
        assert bool(drawing.session.store.known([drawing.job(pair[0]).digest])) == drawn
    assert states(drawing).count("completed") == 3


def test_a_cancel_in_the_database_alone_is_heard_by_the_heartbeat(drawing: Queue) -> None:
    """What another process does."""
    drawing.submit(small(1, steps=400, prompt="a slow dot"))
    (job,) = drawing.jobs()
    seen = 0

    def stop(event: QueueEvent) -> None:
        nonlocal seen
        if event.name == "step":
            seen = event.step
            if event.step == 1:
                drawing.database.write(
                    lambda c: c.execute(update(jobs).values(state="canceled", claim=None, worker=None))
                )

    leave = drawing.bus.subscribe(stop)
    drawing.work(beat=0.01)
    leave()
    assert drawing.job(job.id).state == "canceled"
    assert seen < 400


def test_a_worker_that_is_stopped_gives_back_what_it_has_not_finished(drawing: Queue) -> None:
    drawing.submit([small(seed, steps=4, prompt="a stopped dot") for seed in range(2)])
    worker = drawing.worker()

    def stop(event: QueueEvent) -> None:
        if event.name == "step":
            worker.stop(timeout=0)

    leave = drawing.bus.subscribe(stop)
    worker.run()
    leave()
    assert states(drawing) == ["pending", "pending"]
    assert [job.deaths for job in drawing.jobs()] == [0, 0]
    drawing.work()
    assert states(drawing) == ["completed", "completed"]


def test_two_workers_in_threads_finish_everything_once(home: Path) -> None:
    queue = open_queue(home)
    submit(queue, 40, share="a")
    workers = [queue.worker(most=3, beat=0.05) for _ in range(2)]
    for worker in workers:
        worker.start()
    queue.work(most=3)
    assert all(worker.stop() for worker in workers)
    assert states(queue) == ["completed"] * 40
    drawn = (home / "drawn.txt").read_text().split()
    assert len(drawn) == len(set(drawn)) == 40
    assert [worker.error for worker in workers] == [None, None]


class Faulty:
    """Fails in a way that nobody foresaw when its number is odd."""

    def check(self, payload: dict[str, Any]) -> str:
        return "faulty"

    def run(self, payload: dict[str, Any], context: Context) -> None:
        if payload["number"] % 2:
            raise ZeroDivisionError("oh")


def test_a_bug_in_one_job_fails_that_job_alone(queue: Queue) -> None:
    register("test.faulty", Faulty())
    for number in range(4):
        queue.submit_job("test.faulty", {"number": number})
    queue.database.write(lambda c: c.execute(update(jobs).values(share="a")))
    queue.work()
    assert states(queue) == ["completed", "failed", "completed", "failed"]
    assert "ZeroDivisionError" in queue.job(2).reason


def test_a_listener_that_fails_stops_nobody(queue: Queue) -> None:
    def broken(_: QueueEvent) -> None:
        raise RuntimeError("broken display")

    queue.bus.subscribe(broken)
    submit(queue, 3)
    queue.work()
    assert states(queue) == ["completed"] * 3


def test_an_unknown_kind_fails_and_is_refused(queue: Queue) -> None:
    submit(queue, 2)
    queue.database.write(lambda c: c.execute(update(jobs).where(jobs.c.id == 1).values(kind="test.drawn")))
    queue.work()
    assert states(queue) == ["failed", "completed"]
    assert "'test.draw'" in queue.job(1).remedy
    with pytest.raises(WorkbenchError, match="no job kind"):
        queue.submit_job("nothing", {})


def test_waiting_for_a_paused_queue_is_refused(queue: Queue) -> None:
    submit(queue, 2)
    queue.pause("lunch")
    with pytest.raises(WorkbenchError, match="paused: lunch"):
        queue.work()
    queue.resume()
    queue.work()
    assert states(queue) == ["completed"] * 2


def test_a_worker_of_one_kind_is_done_when_its_kind_is(queue: Queue) -> None:
    register("test.faulty", Faulty())
    submit(queue, 1)
    queue.submit_job("test.faulty", {"number": 2})
    queue.work(kinds=("test.draw",))
    assert states(queue) == ["completed", "pending"]


def test_an_interrupted_cell_gives_its_jobs_back(queue: Queue) -> None:
    submit(queue, 3, share="a")

    class Interrupting:
        def check(self, payload: dict[str, Any]) -> str:
            return "interrupt"

        def run(self, payload: dict[str, Any], context: Context) -> None:
            raise KeyboardInterrupt

    register("test.interrupt", Interrupting())
    queue.database.write(lambda c: c.execute(update(jobs).where(jobs.c.id == 2).values(kind="test.interrupt")))
    with pytest.raises(KeyboardInterrupt):
        queue.work()
    assert states(queue) == ["completed", "pending", "pending"]
    assert {job.deaths for job in queue.jobs()} == {0}


def test_a_device_that_is_not_there_stops_the_worker_and_fails_no_job(tiny_klein: Any, home: Path) -> None:
    queue = Queue(Session(settings(home=home, models=tiny_klein.root, device="cuda:77")))
    queue.submit(small(1, precision="float32"))
    with pytest.raises(SettingsError):
        queue.work()
    assert states(queue) == ["pending"]
