"""What the commands of `workbench queue` share: which jobs are meant, and how they are told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli._common import open_session, print_json

if TYPE_CHECKING:
    from workbench.queue import Job, Queue

PriorityOption = Annotated[int, typer.Option("--priority", metavar="N", help="Higher runs first.")]
TitleOption = Annotated[str, typer.Option("--title", metavar="TEXT", help="What the batch is called.")]
JobsArgument = Annotated[list[int] | None, typer.Argument(metavar="JOB", help="Numbers of jobs.")]
OfBatchOption = Annotated[int | None, typer.Option("--batch", metavar="N", help="All jobs of this batch.")]
AllOption = Annotated[bool, typer.Option("--all", help="All jobs.")]


def open_queue(home: Path | None) -> Queue:
    """The queue of a home; no model is loaded for it."""
    from workbench.queue import Queue

    return Queue(open_session(home))


def chosen(jobs: list[int] | None, batch: int | None, all_: bool) -> list[int]:
    """The jobs that were named; everything only when it was asked for."""
    if not jobs and batch is None and not all_:
        raise typer.BadParameter("name jobs, or give --batch N or --all")
    if bool(jobs) + (batch is not None) + all_ > 1:
        raise typer.BadParameter("give one of: jobs, --batch N, --all")
    return jobs or []


def say(count: int, what: str, json: bool) -> None:
    """How many jobs something was done to."""
    print_json({"jobs": count}) if json else typer.echo(f"{what}: {count:,}")


def row(job: Job) -> tuple[object, ...]:
    """A job as a line of a table."""
    share = f"{job.step}/{job.steps}" if job.state == "running" and job.steps else ""
    return job.id, job.batch, job.state, share, job.priority, job.title + (f": {job.reason}" if job.reason else "")


def summary(queue: Queue) -> str:
    """All states with their numbers."""
    return sentence(queue.counts(), queue.paused)


def sentence(counts: dict[Any, int], paused: str | None) -> str:
    """States with their numbers, and why nothing begins."""
    told = ", ".join(f"{state} {number:,}" for state, number in counts.items())
    return told if paused is None else f"{told}; paused{f': {paused}' if paused else ''}"
