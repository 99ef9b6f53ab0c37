"""What forked processes do in the tests of the queue."""

from __future__ import annotations

import os
from pathlib import Path

import alembic.command  # noqa: F401 - before the fork, so that no child spends time on it
import PIL.PngImagePlugin  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401

import workbench.queue.worker  # noqa: F401
from tests.queue.cheap import open_queue
from workbench.queue import claims, leases


def work(home: Path, database: str | None, arguments: list[str]) -> None:
    """Run jobs until none is left. Arguments: jobs at once."""
    open_queue(home, database).worker(most=int(arguments[0]), beat=0.05).run(until_done=True)


def hang(home: Path, database: str | None, _arguments: list[str]) -> None:
    """Claim jobs and never say a word again."""
    queue = open_queue(home, database)
    worker = queue.database.write(leases.register)
    queue.database.write(lambda c: claims.claim(c, worker, most=4))
    (home / "hangs").touch()
    import signal

    signal.pause()


def claim_all(home: Path, database: str | None, arguments: list[str]) -> None:
    """Claim jobs until none waits, and write down which. Arguments: a name, jobs at once.

    Two of these begin together: the first jobs would be gone before the second process has started.
    """
    queue = open_queue(home, database)
    worker = queue.database.write(leases.register)
    (home / f"ready-{arguments[0]}").touch()
    while len(list(home.glob("ready-*"))) < 2:
        os.sched_yield()
    taken: list[int] = []
    while more := queue.database.write(lambda c: claims.claim(c, worker, most=int(arguments[1]))):
        taken += [each.job for each in more]
    (home / f"claimed-{arguments[0]}.txt").write_text("\n".join(map(str, taken)))
