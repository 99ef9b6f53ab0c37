"""What a run says of itself while it works: lines of the log, its status, trackers, and figures of its speed."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from finetune.config import TrainConfig
from finetune.runfolder import RunFolder, State, Status, now, process_started

if TYPE_CHECKING:
    from finetune.loop import Trainer

Listener = Callable[[dict[str, Any]], None]
STATUS_EVERY = 0.5  # seconds between two writings of the status


class Journal:
    """Writes what others may read of a run; only the first of several processes does.

    Args:
        folder: of the run.
        config: its trackers and length.
        accelerator: knows which process leads, and the trackers.
        listen: called with every line of the log.
    """

    def __init__(self, folder: RunFolder, config: TrainConfig, accelerator: Any, listen: Listener) -> None:
        self._folder, self._config, self._accelerator, self._listen = folder, config, accelerator, listen
        self._leads: bool = accelerator.is_main_process
        self._last = 0  # step of the last status
        self._told = 0.0  # when it was written
        self._spent = 0.0  # seconds in training steps since the last line of the log
        self._steps = 0  # and how many they were
        self._since = 0.0  # when the current step began

    @property
    def is_stale(self) -> bool:
        """Whether the status was written long ago."""
        return self._leads and time.monotonic() - self._told > STATUS_EVERY

    def step_begins(self) -> None:
        """Start the clock of a step: what lies between two steps is not counted."""
        self._since = time.perf_counter()

    def step_ended(self) -> None:
        """Stop the clock of a step."""
        self._spent, self._steps = self._spent + time.perf_counter() - self._since, self._steps + 1

    def log_step(self, trainer: Trainer) -> None:
        """A line about the steps since the last one."""
        loss, rate = trainer.recent_loss(), trainer.optimiser.param_groups[0]["lr"]
        speed = self._steps / self._spent if self._spent else 0.0
        self._spent, self._steps = 0.0, 0
        figures = {"loss": loss, "learning_rate": rate, "norm": trainer.norm}
        peak = peak_memory(trainer.base.device)
        self.log("step", trainer.step, **figures, per_second=round(speed, 4), memory=peak)
        if self._config.trackers:
            self._accelerator.log(figures, step=trainer.step)

    def log(self, event: str, step: int, **values: Any) -> None:
        """A line of the log."""
        if not self._leads:
            return
        record = {"event": event, "step": step, **values, "time": now()}
        if self._config.trackers and event == "held_out":
            self._accelerator.log({"held_out_loss": values["loss"]}, step=step)
        self._folder.append(record)
        self._listen(record)

    def tell(self, state: State, step: int, message: str = "") -> Status:
        """Write the status."""
        pid = os.getpid()
        status = Status(state, step, self._config.steps, pid, process_started(pid), message)
        if self._leads:
            self._folder.set_status(status)
            self._last, self._told = step, time.monotonic()
        return status

    def progress(self, what: str) -> Callable[[int, int], None]:
        """A callback for (done, in all) of work before the first step."""

        def tell(done: int, total: int) -> None:
            self._listen({"event": "preparing", "what": what, "done": done, "total": total})
            if self.is_stale:
                self.tell("preparing", self._last, f"{what}: {done} of {total}")

        return tell


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that the device, or on the CPU this process, has used."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(ImportError):  # Windows has no such module
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak if sys.platform == "darwin" else peak * 1024)
    return 0
