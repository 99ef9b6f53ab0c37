"""The kinds of jobs: a registry that other packages fill.

A picture is run by the worker itself, in batches. Every other kind is a small object with a name, a check of what was
submitted, and a `run`. The workbench knows the command lines of the trainer and the evaluations by name only, and starts
them in processes of their own (see `workbench.queue.commands`), so it imports neither.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from workbench.engine.events import CancelToken
from workbench.errors import nearest
from workbench.queue.errors import JobError

if TYPE_CHECKING:
    from workbench.session import Session

PICTURE = "picture"
"""The kind whose payload is a recipe."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a job is given."""

    job: int
    session: Session
    token: CancelToken  # set when the job is canceled or its worker stops
    attempt: int  # 1 for the first; later ones go on from what an earlier one left
    step: Callable[[int, int], None]  # tells how far the job is: steps done, of how many


class Kind(Protocol):
    """What a job of one kind does."""

    def check(self, payload: dict[str, Any]) -> str:
        """A title for people. Called when a job is submitted, and again when it is run.

        Raises:
            WorkbenchError: the payload is not one of this kind.
        """
        ...

    def run(self, payload: dict[str, Any], context: Context) -> None:
        """Do it. It may have been begun before, by a worker that died at any moment.

        Raises:
            Cancelled: the token was set.
            WorkbenchError: it cannot be done.
        """
        ...


_kinds: dict[str, Kind] = {}
_lock = threading.Lock()


def register(name: str, kind: Kind) -> None:
    """Make `kind` known under `name`, in this process; a worker must know it too."""
    with _lock:
        _kinds[name] = kind


def find(name: str) -> Kind:
    """The kind called `name`.

    Raises:
        JobError: there is none.
    """
    if not _kinds or name not in _kinds:
        from workbench.queue.commands import COMMANDS

        with _lock:
            for command in COMMANDS:
                _kinds.setdefault(command.name, command)
    if name not in _kinds:
        raise JobError(f"There is no job kind {name!r}.", nearest(name, [PICTURE, *_kinds]))
    return _kinds[name]
