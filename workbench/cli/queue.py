"""`workbench queue`: submit, watch and steer jobs, and work on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import _queue_work
from workbench.cli._common import HomeOption, JsonOption, example, guard, print_json, print_table
from workbench.cli._queue import (
    AllOption,
    JobsArgument,
    OfBatchOption,
    PriorityOption,
    TitleOption,
    chosen,
    open_queue,
    row,
    say,
    summary,
)

app = typer.Typer(
    name="queue",
    help="Jobs that survive: submit now, run here or in any number of worker processes.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=example("workbench queue submit grid.yaml"),
)


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
        list[str], typer.Argument(metavar="FILE", help="Recipes, grids, sweeps as YAML; or a command's words.")
    ],
    *,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="picture, evals.run or finetune.train.")
    ] = "picture",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of a training run.")] = "",
    title: TitleOption = "",
    priority: PriorityOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Put jobs into the queue. Everything is checked first; a file that is wrong stores nothing."""
    queue = open_queue(home)
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
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most N.")] = 50,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List jobs: those that run and wait first, then those that are over, the latest first."""
    queue = open_queue(home)
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
    print_table(("job", "batch", "state", "progress", "priority", "title"), [row(job) for job in jobs])
    typer.echo(summary(queue))


@app.command(epilog=example("workbench queue show 12"))
@guard
def show(
    job: Annotated[int, typer.Argument(metavar="JOB", help="Number of a job.")],
    *,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one job: state, reason, and what it was submitted with."""
    queue = open_queue(home)
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
    numbers = chosen(jobs, batch, all_)
    say(open_queue(home).cancel(*numbers, batch=batch), "canceled", json)


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
    numbers = chosen(jobs, batch, all_)
    say(open_queue(home).retry(*numbers, batch=batch), "queued again", json)


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
    numbers = chosen(jobs, batch, all_)
    say(open_queue(home).prioritise(value, *numbers, batch=batch), "changed", json)


@app.command(epilog=example("workbench queue pause --reason 'the card is needed'"))
@guard
def pause(
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Shown to whoever looks.")] = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Begin no more jobs, in any process; what runs goes on."""
    open_queue(home).pause(reason)
    print_json({"paused": True}) if json else typer.echo("paused")


@app.command(epilog=example("workbench queue resume"))
@guard
def resume(*, home: HomeOption = None, json: JsonOption = False) -> None:
    """End a pause."""
    open_queue(home).resume()
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
    say(open_queue(home).clear(batch=batch, waiting=waiting), "cleared", json)


app.command(epilog=example("workbench queue work --until-done", "workbench queue work --kind picture --device cuda:1"))(
    _queue_work.work
)
app.command(epilog=example("workbench queue watch", "workbench queue watch --batch 3 --json"))(_queue_work.watch)
