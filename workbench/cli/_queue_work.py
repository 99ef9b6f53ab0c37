"""`workbench queue work` and `watch`: run jobs, or follow those who do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli._common import (
    CHECK_FAILED,
    INTERRUPTED,
    BatchOption,
    DeviceOption,
    HomeOption,
    JsonOption,
    complain,
    guard,
    open_session,
    print_json,
)
from workbench.cli._queue import OfBatchOption, open_queue, sentence

if TYPE_CHECKING:
    from workbench.queue import Queue, QueueEvent, Worker


@guard
def work(
    *,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End when nothing waits or runs, in any process.")
    ] = False,
    kind: Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="Only these; repeatable.")] = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="Jobs at once.")] = 16,
    home: HomeOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = None,
    json: JsonOption = False,
) -> None:
    """Work on the queue, until interrupted or done. Start it as often as there are devices.

    The first Ctrl-C stops within one step and gives back what was not finished. Exits with 1 when jobs failed here.
    """
    from workbench.queue import Queue

    queue = Queue(open_session(home, device, batch_size))
    told = {"finished": 0, "failed": 0, "stored": 0}

    def listen(event: QueueEvent) -> None:
        if event.name in told:
            told[event.name] += 1
            told["stored"] += event.stored
        if event.name == "failed":
            complain(f"Failed: job {event.job}, {event.title}: {event.reason}")
        elif event.name == "paused":
            complain(f"Paused: {event.reason}")
        elif event.name == "saving":
            complain(f"Memory is short. {event.reason}")

    queue.bus.subscribe(listen)
    worker = queue.worker(most=most, kinds=tuple(kind or ()))
    with _bar(queue), _stopping(worker) as interrupted:
        worker.run(until_done=until_done)
    print_json(told) if json else typer.echo(
        f"finished {told['finished']} ({told['stored']} stored already), failed {told['failed']}"
    )
    if interrupted.is_set():
        complain("Interrupted; what was not finished waits in the queue.")
        raise typer.Exit(INTERRUPTED)
    if told["failed"]:
        raise typer.Exit(CHECK_FAILED)


@guard
def watch(
    *,
    batch: OfBatchOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Follow the queue, whoever works on it, until nothing waits or runs. Exits with 1 when jobs have failed."""
    import time

    queue = open_queue(home)
    if batch is not None:
        queue.batch(batch)
    before: Any = None
    while True:
        counts = queue.counts(batch)
        steps = [(job.id, job.step, job.steps) for job in queue.jobs("running", batch=batch, limit=16)]
        if (counts, steps) != before:
            before = (counts, steps)
            _print_state(counts, steps, queue.paused, json=json)
        if not counts["pending"] + counts["running"]:
            break
        time.sleep(0.5)
    if counts["failed"]:
        raise typer.Exit(CHECK_FAILED)


def _print_state(counts: dict[Any, int], steps: list[tuple[int, int, int]], paused: str | None, *, json: bool) -> None:
    if json:  # one object a line
        from json import dumps

        running = [{"job": job, "step": step, "steps": of} for job, step, of in steps]
        typer.echo(dumps(counts | {"paused": paused, "jobs": running}))
        return
    jobs = ", ".join(f"job {job} {step}/{of}" for job, step, of in steps[:4])
    more = f" and {len(steps) - 4} more" if len(steps) > 4 else ""
    typer.echo(sentence(counts, paused) + (f": {jobs}{more}" if jobs else ""))


@contextmanager
def _stopping(worker: Worker) -> Iterator[threading.Event]:
    """The first Ctrl-C (or SIGTERM) stops within one step and gives work back; a second one acts at once."""
    asked = threading.Event()

    def stop(_number: int, _frame: Any) -> None:
        asked.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        threading.Thread(target=worker.stop, daemon=True).start()  # not here: a handler must take no lock

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar(queue: Queue) -> Iterator[None]:
    """A progress bar over the queue, on a terminal."""
    import sys

    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("Queue"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("queue", total=None, now="")
        done = 0

        def listen(event: QueueEvent) -> None:
            nonlocal done
            if event.name == "step":
                bar.update(task, now=f"job {event.job}: {event.step}/{event.steps}")
            elif event.name in ("finished", "failed", "canceled", "submitted", "started"):
                done += event.name in ("finished", "failed")
                counts = queue.counts() if event.name != "started" else None
                if counts is not None:
                    bar.update(task, completed=done, total=done + counts["pending"] + counts["running"])

        leave = queue.bus.subscribe(listen)
        try:
            yield
        finally:
            leave()
