"""A queue of jobs in the store's database, shared by any number of kernels and worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.queue.bus import QueueEvent
    from workbench.queue.queue import Queue
    from workbench.queue.sweep import Sweep
    from workbench.queue.views import Batch, Job
    from workbench.queue.worker import Worker

__all__ = ["Batch", "Job", "Queue", "QueueEvent", "Sweep", "Worker"]

_HOMES = {
    "Batch": "views",
    "Job": "views",
    "Queue": "queue",
    "QueueEvent": "bus",
    "Sweep": "sweep",
    "Worker": "worker",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"workbench.queue.{_HOMES[name]}"), name)
