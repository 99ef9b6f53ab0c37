"""Jobs run one after the other, wait, are cancelled, and never take the thread down."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from functools import partial

import pytest

from workbench.engine.events import CancelToken
from workbench.errors import Cancelled, GenerationError, WorkbenchError
from workbench.panels.worker import Body, Job, Worker, worker_of

WAIT = 30.0  # seconds; only a hang reaches it


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("test-worker")
    yield made
    assert made.close(WAIT)


def until_cancelled(started: threading.Event) -> Body:
    def body(token: CancelToken) -> None:
        started.set()
        assert token._event.wait(WAIT)
        raise Cancelled("Stopped.")

    return body


def test_submit_returns_before_the_work_is_done(worker: Worker) -> None:
    gate, seen = threading.Event(), []
    job = worker.submit("picture", lambda token: (gate.wait(WAIT), seen.append(threading.current_thread().name)))
    assert not job.finished
    gate.set()
    assert job.wait(WAIT)
    assert job.state == "done"
    assert seen == ["test-worker"]


def test_a_second_job_waits_and_the_first_lives(worker: Worker) -> None:
    started, order = threading.Event(), []
    gate = threading.Event()

    def first(token: CancelToken) -> None:
        started.set()
        gate.wait(WAIT)
        order.append(("first", token.cancelled))

    one = worker.submit("first", first)
    assert started.wait(WAIT)
    two = worker.submit("second", lambda token: order.append(("second", token.cancelled)))
    assert (one.state, two.state) == ("running", "waiting")
    assert worker.unfinished() == [one, two]
    gate.set()
    assert two.wait(WAIT)
    assert order == [("first", False), ("second", False)]
    assert worker.unfinished() == []


def test_cancel_reaches_a_running_job_and_the_next_one_runs(worker: Worker) -> None:
    started = threading.Event()
    states: list[str] = []
    job = worker.submit("long", until_cancelled(started), lambda job: states.append(job.state))
    after = worker.submit("after", lambda token: None)
    assert started.wait(WAIT)
    job.cancel()
    assert after.wait(WAIT)
    assert (job.state, after.state) == ("cancelled", "done")
    assert states == ["running", "cancelled"]
    job.cancel()
    assert job.state == "cancelled"


def test_a_cancelled_waiting_job_never_starts(worker: Worker) -> None:
    started, ran = threading.Event(), []
    blocker = worker.submit("long", until_cancelled(started))
    waiting = worker.submit("waiting", lambda token: ran.append(1))
    assert started.wait(WAIT)
    waiting.cancel()
    assert waiting.finished
    assert waiting.state == "cancelled"  # at once, although the thread is busy
    blocker.cancel()
    assert worker.submit("last", lambda token: None).wait(WAIT)
    assert ran == []


@pytest.mark.parametrize("error", [GenerationError("A latent is not finite."), ZeroDivisionError("boom")])
def test_an_error_ends_the_job_and_not_the_thread(worker: Worker, error: Exception) -> None:
    def body(token: CancelToken) -> None:
        raise error

    job = worker.submit("bad", body)
    assert job.wait(WAIT)
    assert (job.state, job.error) == ("failed", error)
    assert worker.submit("good", lambda token: None).wait(WAIT)


def test_a_failing_listener_does_not_stop_the_queue(worker: Worker) -> None:
    def tell(job: Job) -> None:
        raise ValueError("the view is gone")

    job = worker.submit("one", lambda token: None, tell)
    assert job.wait(WAIT)
    assert job.state == "done"


def test_close_cancels_and_joins() -> None:
    worker, started = Worker(), threading.Event()
    running = worker.submit("long", until_cancelled(started))
    waiting = worker.submit("waiting", lambda token: None)
    assert started.wait(WAIT)
    assert worker.close(WAIT)
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    with pytest.raises(WorkbenchError, match="closed"):
        worker.submit("late", lambda token: None)


class Owner:
    """Stands for a session: all that `worker_of` asks of one is that it can be held weakly."""


def _use(_session: Owner, _token: CancelToken) -> None:
    """A body that holds its session, as those of panels do."""


def test_one_worker_per_session_and_none_for_a_dead_one() -> None:
    one, two = Owner(), Owner()
    assert worker_of(one) is worker_of(one)  # type: ignore[arg-type]
    assert worker_of(one) is not worker_of(two)  # type: ignore[arg-type]
    worker = worker_of(one)  # type: ignore[arg-type]
    assert worker.submit("uses it", partial(_use, one)).wait(WAIT)
    ghost = weakref.ref(one)
    thread = worker._thread
    del one
    gc.collect()
    assert ghost() is None  # the queue does not keep the model in memory
    assert thread is not None
    thread.join(WAIT)
    assert not thread.is_alive()
    worker_of(two).close(WAIT)  # type: ignore[arg-type]
