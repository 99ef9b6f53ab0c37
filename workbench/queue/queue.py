"""`Queue`: the door to everything; the modules beside it do the work.

    queue = Queue()
    batch = queue.submit([Recipe(prompt="a red circle", seed=seed) for seed in range(8)])
    queue.work()
    queue.batch(batch.id).counts

Any number of queues, in any number of processes and on any number of machines, may share one database.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, select

from workbench.grid import Grid
from workbench.queue import control, views
from workbench.queue import submit as submission
from workbench.queue.bus import Bus, Name, QueueEvent, bus_of
from workbench.queue.claims import paused
from workbench.queue.database import Database
from workbench.queue.errors import QueueError
from workbench.queue.kinds import PICTURE
from workbench.queue.sweep import Sweep
from workbench.queue.tables import batches, jobs
from workbench.recipe import Recipe
from workbench.session import Session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from workbench.queue.worker import Worker

T = TypeVar("T")

Work = Recipe | Sequence[Recipe] | Grid | Sweep


class Queue:
    """Jobs in the store's database.

    Args:
        session: whose home, models and database; None: of the settings.

    Raises:
        SettingsError: a setting that cannot be used.
        StoreError: the database cannot be opened.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.session = session or Session()
        settings = self.session.settings
        self.database = Database(settings.home, settings.database)
        weakref.finalize(self, self.database.close)
        self.bus: Bus = bus_of(self.database.name)

    def submit(self, work: Work, *, title: str = "", priority: int = 0) -> views.Batch:
        """Put pictures into the queue.

        Everything is checked before anything is stored: each value against its field, each recipe against its model.

        Args:
            work: one recipe, a list, a grid or a sweep.
            title: for people; empty: the work's own, or one made from its size.
            priority: higher runs first; within one priority, what was submitted first.

        Raises:
            QueueError: nothing to submit, too much, or no priority.
            WorkbenchError: a recipe that cannot be drawn; nothing was stored.
        """
        recipes, titles = _spread(work)
        items = submission.pictures(recipes, titles, self.session.catalog)
        own = getattr(work, "title", "") or (items[0].title if len(items) == 1 else f"{len(items):,} pictures")
        return self._store(items, title or own, priority)

    def check(self, work: Work) -> int:
        """What `submit` would check, without storing anything. Returns the number of jobs.

        Raises:
            WorkbenchError: as `submit`.
        """
        return len(submission.pictures(*_spread(work), self.session.catalog))

    def submit_job(self, kind: str, payload: dict[str, Any], *, title: str = "", priority: int = 0) -> views.Batch:
        """Put a job of a registered kind into the queue.

        Args:
            kind: name in the registry, see `workbench.queue.kinds`.
            payload: what that kind takes, ready for JSON.
            title: for people; empty: the kind's own.
            priority: as in `submit`.

        Raises:
            WorkbenchError: the kind is unknown or refuses the payload; nothing was stored.
        """
        if kind == PICTURE:
            return self.submit(Recipe.parse(payload), title=title, priority=priority)
        item = submission.other(kind, payload)
        return self._store([item], title or item.title, priority)

    def submit_evals(self, arguments: Sequence[str], *, title: str = "", priority: int = 0) -> views.Batch:
        """Queue `evals run ARGUMENTS`, with relative paths as from the present folder.

        Raises:
            WorkbenchError: as `submit_job`.
        """
        payload = {"arguments": list(arguments), "folder": str(Path.cwd())}
        return self.submit_job("evals.run", payload, title=title, priority=priority)

    def submit_training(
        self, name: str, arguments: Sequence[str] = (), *, title: str = "", priority: int = 0
    ) -> views.Batch:
        """Queue `finetune train ARGUMENTS --name NAME`, with relative paths as from the present folder.

        When its worker dies, or it is canceled and retried, it goes on from its last checkpoint.

        Raises:
            WorkbenchError: as `submit_job`.
        """
        payload = {"arguments": list(arguments), "name": name, "folder": str(Path.cwd())}
        return self.submit_job("finetune.train", payload, title=title, priority=priority)

    def jobs(self, *states: views.State, batch: int | None = None, limit: int | None = None) -> list[views.Job]:
        """Jobs in the order in which they run, of all states or of some.

        Raises:
            QueueError: a state that does not exist.
        """
        views.check_states(states)
        conditions = control.chosen((), batch) + ([jobs.c.state.in_(states)] if states else [])
        return self.database.read(lambda c: views.list_jobs(c, *conditions, limit=limit))

    def recent(self, limit: int = 100) -> list[views.Job]:
        """The jobs that a person wants to see: what runs, what is next, and what was over last."""
        shown = -(-limit // 2)

        def look(connection: Connection) -> list[views.Job]:
            running = views.list_jobs(connection, jobs.c.state == "running", limit=shown)
            waiting = views.list_jobs(connection, jobs.c.state == "pending", limit=shown)
            room = limit - len(running) - len(waiting)
            over = views.list_jobs(connection, jobs.c.state.in_(control.OVER), limit=max(room, 0), newest=True)
            return [*running, *waiting, *over]

        return self.database.read(look)

    def job(self, number: int) -> views.Job:
        """One job.

        Raises:
            QueueError: there is none of this number.
        """
        found = self.database.read(lambda c: views.list_jobs(c, jobs.c.id == number))
        if not found:
            raise QueueError(f"There is no job {number}.", "`workbench queue list` shows them.")
        return found[0]

    def payload(self, number: int) -> str:
        """What a job was submitted with, as JSON: for a picture its recipe.

        Raises:
            QueueError: there is no job of this number.
        """
        query = select(jobs.c.payload).where(jobs.c.id == number)
        text = self.database.read(lambda c: c.execute(query).scalar())
        if text is None:
            raise QueueError(f"There is no job {number}.", "`workbench queue list` shows them.")
        return str(text)

    def batches(self, limit: int | None = 50) -> list[views.Batch]:
        """What was submitted, the latest first."""
        return self.database.read(lambda c: views.list_batches(c, limit=limit))

    def batch(self, number: int) -> views.Batch:
        """One batch.

        Raises:
            QueueError: there is none of this number.
        """
        found = self.database.read(lambda c: views.list_batches(c, batches.c.id == number))
        if not found:
            raise QueueError(f"There is no batch {number}.", "`workbench queue list --batches` shows them.")
        return found[0]

    def counts(self, batch: int | None = None) -> dict[views.State, int]:
        """How many jobs are in each state."""
        return self.database.read(lambda c: views.count(c, *control.chosen((), batch)))

    def cancel(self, *numbers: int, batch: int | None = None) -> int:
        """Cancel what waits or runs: some jobs, a batch, or without arguments everything.

        A running picture stops within one step, in another process a moment later. Returns how many were canceled.

        Raises:
            QueueError: a job or batch that does not exist.
        """
        return self._order("canceled", numbers, batch, control.cancel)

    def retry(self, *numbers: int, batch: int | None = None) -> int:
        """Queue again what failed or was canceled: some jobs, a batch, or everything. Returns how many.

        Raises:
            QueueError: a job or batch that does not exist.
        """
        return self._order("submitted", numbers, batch, control.retry)

    def prioritise(self, priority: int, *numbers: int, batch: int | None = None) -> int:
        """Give waiting jobs another priority: some, a batch, or everything. Returns how many.

        Raises:
            QueueError: no priority, or a job or batch that does not exist.
        """
        submission.check_priority(priority)
        return self._order(None, numbers, batch, lambda c, chosen: control.prioritise(c, chosen, priority))

    def clear(self, *, batch: int | None = None, waiting: bool = False) -> int:
        """Forget jobs that are over, with `waiting` also those that have not begun. Pictures stay. Returns how many."""
        return self.database.write(lambda c: control.clear(c, control.chosen((), batch), waiting=waiting))

    def pause(self, reason: str = "") -> None:
        """Begin no more jobs, in any process, until `resume`; what runs goes on."""
        self.database.write(lambda c: control.pause(c, reason))
        self.bus.publish(QueueEvent("paused", reason=reason))

    def resume(self) -> None:
        """End a pause."""
        if self.database.write(control.resume):
            self.bus.publish(QueueEvent("resumed"))

    @property
    def paused(self) -> str | None:
        """Why the queue is paused; None when it is not."""
        return self.database.read(paused)

    def worker(self, **options: Any) -> Worker:
        """A worker on this queue and its session; see `Worker` for the options."""
        from workbench.queue.worker import Worker

        return Worker(self, **options)

    def work(self, **options: Any) -> None:
        """Run jobs in this thread until none is left; see `Worker` for the options."""
        self.worker(**options).run(until_done=True)

    def _store(self, items: list[submission.Item], title: str, priority: int) -> views.Batch:
        submission.check_priority(priority)
        number = self.database.write(lambda c: submission.store(c, items, title=title, priority=priority))
        self.bus.publish(QueueEvent("submitted", batch=number, title=title, steps=len(items)))
        return self.batch(number)

    def _order(
        self,
        name: Name | None,
        numbers: Sequence[int],
        batch: int | None,
        order: Callable[[Connection, list[ColumnElement[bool]]], list[tuple[int, int]]],
    ) -> int:
        for number in numbers:
            self.job(number)
        if batch is not None:
            self.batch(batch)
        changed = self.database.write(lambda c: order(c, control.chosen(numbers, batch)))
        if name is not None:
            for job, of in changed:
                self.bus.publish(QueueEvent(name, job=job, batch=of))
        return len(changed)


def _spread(work: Work) -> tuple[Sequence[Recipe], Sequence[str] | None]:
    """Recipes with their titles; None where they have none of their own."""
    if isinstance(work, Recipe):
        return [work], None
    if isinstance(work, Sweep):
        entries = work.expand()
        return [recipe for recipe, _ in entries], [title for _, title in entries]
    if isinstance(work, Grid):
        plan = work.expand()
        several = len(plan.seeds) > 1
        return (
            [cell.recipes[seed] for cell, seed in plan.run_order],
            [
                plan.describe(cell) + (f", Seed = {cell.recipes[seed].seed}" if several else "")
                for cell, seed in plan.run_order
            ],
        )
    for each in work:
        if not isinstance(each, Recipe):
            raise QueueError(f"A list for the queue cannot hold {each!r}.", "Give recipes, a Grid or a Sweep.")
    return work, None
