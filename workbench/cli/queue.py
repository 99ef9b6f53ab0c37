"""`workbench queue`: submit, watch and steer jobs, and work on them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
    example,
    guard,
    open_session,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from workbench.queue import Job, Queue, QueueEvent, Worker

app = typer.Typer(
    name="queue",
    help="Jobs that survive: submit now, run here or in any number of worker processes.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=example("workbench queue submit grid.yaml"),
)

PriorityOption = Annotated[int, typer.Option("--priority", metavar="N", help="Higher runs first; default: 0.")]
TitleOption = Annotated[str, typer.Option("--title", metavar="TEXT", help="What the batch is called.")]
JobsArgument = Annotated[list[int] | None, typer.Argument(metavar="[JOB]...", help="Numbers of jobs.")]
OfBatchOption = Annotated[int | None, typer.Option("--batch", metavar="N", help="All jobs of this batch.")]
AllOption = Annotated[bool, typer.Option("--all", help="All jobs.")]


@app.command(
    epilog=example(
        "workbench queue submit circle.yaml --priority 5",
        "workbench queue submit grid.yaml sweep.yaml",
        "workbench queue submit --kind evals.run -- nano-1 --models klein-nano-base --out run",
        "workbench queue submit --kind finetune.train --name style -- --data data/style --steps 300",
    )
)
@guard
def submit(
    words: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Recipes, grids, sweeps as YAML; or a command's words.")
    ],
    *,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="picture, evals.run or finetune.train; default: picture.")
    ] = "picture",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of a training run.")] = "",
    title: TitleOption = "",
    priority: PriorityOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Put jobs into the queue. Everything is checked first; a file that is wrong stores nothing."""
    queue = _queue(home)
    if kind != "picture":
        payload = {"arguments": list(words), "folder": str(Path.cwd())} | ({"name": name} if name else {})
        done = [queue.submit_job(kind, payload, title=title, priority=priority)]
    else:
        from workbench.queue.files import read_work

        read = [read_work(Path(word)) for word in words]
        for each in read if len(read) > 1 else ():
            queue.check(each)  # all of them, before the first is stored
        done = [queue.submit(each, title=title, priority=priority) for each in read]
    if json:
        print_json([batch.as_dict() for batch in done])
        return
    for batch in done:
        typer.echo(f"batch {batch.id}: {batch.total:,} {'job' if batch.total == 1 else 'jobs'}, {batch.title}")


@app.command("list", epilog=example("workbench queue list --state failed", "workbench queue list --batches --json"))
@guard
def list_(
    *,
    state: Annotated[list[str] | None, typer.Option("--state", metavar="STATE", help="Only these; repeatable.")] = None,
    batch: OfBatchOption = None,
    batches: Annotated[bool, typer.Option("--batches", help="What was submitted together, instead of jobs.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most N; default: 50.")] = 50,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List jobs: those that run and wait first, then those that are over, the latest first."""
    queue = _queue(home)
    if batches:
        found = queue.batches(limit)
        if json:
            print_json([each.as_dict() for each in found])
        else:
            states = ("pending", "running", "completed", "failed", "canceled")
            print_table(("batch", *states, "title"), [(b.id, *b.counts.values(), b.title) for b in found])
        return
    jobs = queue.jobs(*state or (), batch=batch, limit=limit) if state or batch else queue.recent(limit)
    if json:
        print_json([job.as_dict() for job in jobs])
        return
    print_table(("job", "batch", "state", "progress", "priority", "title"), [_row(job) for job in jobs])
    typer.echo(_summary(queue))


@app.command(epilog=example("workbench queue show 12"))
@guard
def show(
    job: Annotated[int, typer.Argument(metavar="JOB", help="Number of a job.")],
    *,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one job: state, reason, and what it was submitted with."""
    queue = _queue(home)
    found = queue.job(job)
    values = found.as_dict() | {"payload": queue.payload(job)}
    if found.digest:
        path = queue.session.store.path(found.digest)
        values["path"] = str(path) if path.is_file() else None
    if json:
        print_json(values)
    else:
        print_table(("field", "value"), [(name, value) for name, value in values.items() if value not in ("", None)])


@app.command(epilog=example("workbench queue cancel 12 13", "workbench queue cancel --batch 3"))
@guard
def cancel(
    jobs: JobsArgument = None,
    *,
    batch: OfBatchOption = None,
    all_: AllOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Cancel what waits or runs. A running picture stops within one step."""
    numbers = _chosen(jobs, batch, all_)
    _told(_queue(home).cancel(*numbers, batch=batch), "canceled", json)


@app.command(epilog=example("workbench queue retry 12", "workbench queue retry --all"))
@guard
def retry(
    jobs: JobsArgument = None,
    *,
    batch: OfBatchOption = None,
    all_: AllOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Queue again what failed or was canceled."""
    numbers = _chosen(jobs, batch, all_)
    _told(_queue(home).retry(*numbers, batch=batch), "queued again", json)


@app.command(epilog=example("workbench queue priority 10 --batch 3"))
@guard
def priority(
    value: Annotated[int, typer.Argument(metavar="PRIORITY", help="Higher runs first.")],
    jobs: JobsArgument = None,
    *,
    batch: OfBatchOption = None,
    all_: AllOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Give waiting jobs another priority."""
    numbers = _chosen(jobs, batch, all_)
    _told(_queue(home).prioritise(value, *numbers, batch=batch), "changed", json)


@app.command(epilog=example("workbench queue pause --reason 'the card is needed'"))
@guard
def pause(
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Shown to whoever looks.")] = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Begin no more jobs, in any process; what runs goes on."""
    _queue(home).pause(reason)
    print_json({"paused": True}) if json else typer.echo("paused")


@app.command(epilog=example("workbench queue resume"))
@guard
def resume(*, home: HomeOption = None, json: JsonOption = False) -> None:
    """End a pause."""
    _queue(home).resume()
    print_json({"paused": False}) if json else typer.echo("resumed")


@app.command(epilog=example("workbench queue clear", "workbench queue clear --batch 3 --waiting"))
@guard
def clear(
    *,
    batch: OfBatchOption = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Also jobs that have not begun.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Forget jobs that are over. Pictures stay in the store."""
    _told(_queue(home).clear(batch=batch, waiting=waiting), "cleared", json)


@app.command(epilog=example("workbench queue work --until-done", "workbench queue work --kind picture --device cuda:1"))
@guard
def work(
    *,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End when nothing waits or runs, in any process.")
    ] = False,
    kind: Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="Only these; repeatable.")] = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="Jobs at once; default: 16.")] = 16,
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


@app.command(epilog=example("workbench queue watch", "workbench queue watch --batch 3 --json"))
@guard
def watch(
    *,
    batch: OfBatchOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Follow the queue, whoever works on it, until nothing waits or runs. Exits with 1 when jobs have failed."""
    import time

    queue = _queue(home)
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
    typer.echo(_sentence(counts, paused) + (f": {jobs}{more}" if jobs else ""))


def _queue(home: Path | None) -> Queue:
    from workbench.queue import Queue

    return Queue(open_session(home))


def _chosen(jobs: list[int] | None, batch: int | None, all_: bool) -> list[int]:
    """The jobs that were named; everything only when it was asked for."""
    if not jobs and batch is None and not all_:
        raise typer.BadParameter("name jobs, or give --batch N or --all")
    if bool(jobs) + (batch is not None) + all_ > 1:
        raise typer.BadParameter("give one of: jobs, --batch N, --all")
    return jobs or []


def _told(count: int, what: str, json: bool) -> None:
    print_json({"jobs": count}) if json else typer.echo(f"{what}: {count:,}")


def _row(job: Job) -> tuple[object, ...]:
    share = f"{job.step}/{job.steps}" if job.state == "running" and job.steps else ""
    return job.id, job.batch, job.state, share, job.priority, job.title + (f": {job.reason}" if job.reason else "")


def _summary(queue: Queue) -> str:
    return _sentence(queue.counts(), queue.paused)


def _sentence(counts: dict[Any, int], paused: str | None) -> str:
    told = ", ".join(f"{state} {number:,}" for state, number in counts.items())
    return told if paused is None else f"{told}; paused{f': {paused}' if paused else ''}"


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
