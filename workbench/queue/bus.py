"""What happens to jobs, told to whoever listens in this process: panels, the command line, a server.

One bus a database: every `Queue` on it in this process shares it. Other processes are not heard here; they leave state
and progress in the database, which `Queue.jobs` reads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PIL.Image import Image

log = logging.getLogger(__name__)

Name = Literal[
    "submitted",
    "started",
    "step",
    "preview",
    "finished",
    "failed",
    "canceled",
    "returned",
    "paused",
    "resumed",
    "saving",
]


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """One thing that happened. Fields that do not belong to its name stay empty."""

    name: Name
    job: int = 0  # 0: the whole batch or queue
    batch: int = 0
    title: str = ""
    digest: str = ""  # of the picture, where there is one
    step: int = 0  # of steps; for `submitted` 0
    steps: int = 0  # for `submitted` the number of jobs
    preview: Image | None = None
    stored: bool = False  # `finished`: the store had it already
    reason: str = ""  # `failed`, `returned`, `paused`: why; `saving`: what is given up as memory is short


Subscriber = Callable[[QueueEvent], None]


class Bus:
    """Passes events on, in the thread in which they happen. A listener that fails is dropped, and nobody else notices."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have `subscriber` called with every event, from any thread. Returns a function that ends this."""
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)
        return lambda: self._drop(subscriber)

    def publish(self, event: QueueEvent) -> None:
        """Tell everybody."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                log.exception("a listener of the queue failed and is not called again")
                self._drop(subscriber)

    def _drop(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)


_buses: dict[str, Bus] = {}
_buses_lock = threading.Lock()


def bus_of(database: str) -> Bus:
    """The bus of a database, by its URL: one in this process."""
    with _buses_lock:
        return _buses.setdefault(database, Bus())
