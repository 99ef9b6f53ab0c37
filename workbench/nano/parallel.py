"""Several single-threaded training processes that share one model.

On a CPU that others use too, two processes of one thread each are many times faster than one process of two threads:
threads of one process wait for each other after every operation, processes only once a step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

PATIENCE = timedelta(hours=12)  # one worker may take hours over what the others wait for


@dataclass(frozen=True)
class Worker:
    """One of `count` training processes; number 0 logs and saves."""

    number: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.number == 0

    def share_of(self, rows: int) -> slice:
        """The rows of a batch that this worker computes."""
        return slice(rows * self.number // self.count, rows * (self.number + 1) // self.count)

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace each gradient by its mean over the workers, in one exchange; an absent gradient counts as zero."""
        if self.count == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.count
        for parameter, part in zip(parameters, flat.split([g.numel() for g in gradients]), strict=True):
            parameter.grad = part.view_as(parameter)

    def share_parameters(self, owned: Sequence[Sequence[Tensor]]) -> None:
        """Copy parameters from the worker that updated them to all others; `owned[i]` belongs to worker i."""
        if self.count == 1:
            return
        for number, parameters in enumerate(owned):
            flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
            distributed.broadcast(flat, src=number)
            for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                parameter.data.copy_(part.view_as(parameter))

    def wait(self) -> None:
        """Until all workers are here."""
        if self.count > 1:
            distributed.barrier()

    def agree(self, flag: bool) -> bool:
        """Whether the leader says so: all workers stop at the same step."""
        if self.count == 1:
            return flag
        shared = torch.tensor([float(flag)])
        distributed.broadcast(shared, src=0)
        return bool(shared.item())


def run_workers(count: int, task: Callable[..., None], *arguments: Any) -> None:
    """Call `task(worker, *arguments)` in `count` processes of one thread each, or here when `count` is 1."""
    if count == 1:
        task(Worker(), *arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        spawn(_enter, (count, Path(folder) / "meet", task, arguments), nprocs=count)


def _enter(number: int, count: int, meeting: Path, task: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=number, world_size=count, timeout=PATIENCE
    )
    task(Worker(number, count), *arguments)
    distributed.destroy_process_group()
