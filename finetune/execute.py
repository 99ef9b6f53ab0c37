"""One run from its folder: prepare, train or resume, log, save, draw, finish.

The same function runs in the process of a command line and in a process of its own; everything that others may know of
it is in the run's folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from finetune.adapters import attach, check_targets, file_metadata, read_state
from finetune.base import Base, check_base, find_base, load_base, training_device
from finetune.cache import FeatureCache
from finetune.checkpoint import check_same, load_checkpoint, prune, save_checkpoint
from finetune.config import TrainConfig
from finetune.data import Dataset, read_dataset
from finetune.features import encode_dataset
from finetune.loop import Order, Trainer, TrainingError
from finetune.optim import make_optimiser
from finetune.preview import Previewer
from finetune.processes import agree, make_accelerator
from finetune.runfolder import RunFolder, State, Status, now, process_started
from workbench.engine.events import CancelToken
from workbench.errors import Cancelled, WorkbenchError
from workbench.models.catalog import ModelCatalog
from workbench.store.files import write_atomically

Listener = Callable[[dict[str, Any]], None]
POLL = 0.2  # seconds between two looks at a paused run's commands
STATUS_EVERY = 0.5  # seconds between two writings of the status


def execute(
    folder: RunFolder, catalog: ModelCatalog, *, listen: Listener | None = None, token: CancelToken | None = None
) -> Status:
    """Train the run in `folder` to its end, from its last checkpoint if it has one.

    Args:
        folder: with its configuration.
        catalog: finds the model; the finished adapter goes into its home.
        listen: called with every line of the log, and with {"event": "preparing", "done", "total"} before.
        token: stops the run after the current step, with a checkpoint.

    Returns:
        The last status: finished or stopped.

    Raises:
        WorkbenchError: the run cannot start or had to stop; the status says so too.
    """
    execution = Execution(folder, catalog, listen or (lambda _: None), token or CancelToken())
    try:
        execution.prepare()
        return execution.train()
    except Cancelled:
        return execution.end("stopped", "Stopped before the first step.")
    except torch.OutOfMemoryError as error:
        failure = TrainingError(
            "The device has no memory left for this run.",
            "In this order: gradient_checkpointing: all; batch_size: 1 with accumulation; a smaller resolution.",
        )
        execution.end("failed", str(failure))
        raise failure from error
    except WorkbenchError as error:
        execution.end("failed", str(error))
        raise
    except BaseException as error:
        execution.end("failed", f"{type(error).__name__}: {error}")
        raise


class Execution:
    """The parts of a run that is under way."""

    def __init__(self, folder: RunFolder, catalog: ModelCatalog, listen: Listener, token: CancelToken) -> None:
        self.folder, self.catalog, self.listen, self.token = folder, catalog, listen, token
        self.config = folder.config
        self.device = training_device(self.config, int(os.environ.get("LOCAL_RANK", "0")))
        self.accelerator = make_accelerator(self.config, self.device, str(folder.path))
        self.leads: bool = self.accelerator.is_main_process
        self.step = 0
        self._told = 0.0  # when the status was last written
        self._spent = 0.0  # seconds in training steps since the last line of the log
        self._steps = 0  # and how many they were
        self._since = 0.0  # when the current step began
        self._checked = -1  # step of the last held-out measurement
        self._waits = 0  # held-out measurements since the best one

    def prepare(self) -> None:
        """Read the data, load the base, encode everything, attach the adapter, and go to the last checkpoint."""
        config = self.config
        if self.leads:
            self.folder.clear("stop", "pause")
        self._status("preparing", "Reading the pictures.")
        facts = find_base(config.model, self.catalog)
        check_base(facts, config)
        dataset = read_dataset(config.data, facts.row, progress=self._progress("pictures"), token=self.token)
        self._status("preparing", "Loading the model.")
        self.base = load_base(facts, config, self.device)
        references = any(example.references for example in dataset.examples)
        self.pattern = facts.family.pattern(config.adapter.targets, references=references)
        check_targets(facts.family, self.base.transformer, config.adapter, self.pattern)
        self.previewer = self._previewer(facts.model, dataset)
        cache = FeatureCache(self.catalog.home / "cache" / "features")
        with self.accelerator.main_process_first():
            features = encode_dataset(dataset, self.base, cache, progress=self._progress("features"), token=self.token)
        features.check_batches(config)
        self.base.drop_encoders()
        transformer = self.base.transformer
        parameters = attach(transformer, config.adapter, self.pattern, config.seed)
        self.metadata = file_metadata(config.adapter, self.pattern)
        self.trainer = Trainer(
            config, self.base, features, parameters, make_optimiser(config.optimiser, parameters), self.accelerator
        )
        self.facts = run_facts(config, self.base, dataset)
        self._resume()
        if self.leads:
            write_atomically(self.folder.data, (json.dumps(dataset.manifest, indent=1) + "\n").encode())
            for warning in features.warnings:
                self._log("warning", message=warning)
            self._log("started", examples=len(dataset.examples), held_out=len(dataset.held_out),
                      parameters=sum(each.numel() for each in parameters), resumed=self.step > 0)  # fmt: skip
        if config.trackers:
            self.accelerator.init_trackers(self.folder.name)

    def train(self) -> Status:
        """Train to the end, or to a stop."""
        if self.step == 0:
            self._measure()
            if self.config.previews.every:
                self._preview()
        self._status("running")
        self._since = time.perf_counter()
        self.trainer.train(self._each_step)
        if self.config.trackers:
            self.accelerator.end_training()
        if self.step >= self.config.steps or self._waits_too_long():
            self._finish()
            return self.end("finished")
        return self.end("stopped")

    def end(self, state: State, message: str = "") -> Status:
        """Say how the run ended."""
        if self.leads:
            self._log(state, message=message)
        return self._status(state, message)

    def _each_step(self, trainer: Trainer) -> Order:
        """What is due after a step."""
        self.step, config = trainer.step, self.config
        self._spent, self._steps = self._spent + time.perf_counter() - self._since, self._steps + 1
        last = self.step >= config.steps
        if self.step % config.log_every == 0 or last or self.step == 1:
            self._log_step()
        if self.step % config.held_out.every == 0 or last:
            self._measure()
        command = agree(self.accelerator, self._command() if self.leads else "")
        stop = command == "stop" or self._waits_too_long()
        if self.step % config.checkpoint_every == 0 or last or stop or command == "save":
            self._save()
        every = config.previews.every
        if command == "sample" or (every and (self.step % every == 0 or last)):
            self._preview()
        if self.leads and time.monotonic() - self._told > STATUS_EVERY:
            self._status("running")
        self._since = time.perf_counter()
        return "stop" if stop else "go on"

    def _command(self) -> str:
        """The command to obey now; a paused run waits here."""
        paused = False
        while True:
            if self.token.cancelled or self.folder.has("stop"):
                self.folder.clear("stop", "pause")
                return "stop"
            for command in ("save", "sample"):
                if self.folder.has(command):
                    self.folder.clear(command)
                    return command
            if not self.folder.has("pause"):
                if paused:
                    self._status("running")
                return ""
            if not paused:
                self._status("paused")
            paused = True
            time.sleep(POLL)

    def _measure(self) -> None:
        if self._checked == self.step or not self.leads:
            return
        self._checked = self.step
        loss = self.trainer.held_out_loss()
        if loss is None:
            return
        if self.trainer.best is None or loss < self.trainer.best[1]:
            self.trainer.best, self._waits = (self.step, loss), 0
        else:
            self._waits += 1
        self._log("held_out", loss=loss, best_step=self.trainer.best[0])

    def _waits_too_long(self) -> bool:
        patience = self.config.held_out.patience
        stop = patience is not None and self._waits >= patience
        return agree(self.accelerator, "stop" if stop else "") == "stop" if patience else False

    def _save(self) -> None:
        if self.leads:
            path = save_checkpoint(self.folder, self.trainer.snapshot(self.metadata, self.facts))
            prune(self.folder, self.config.keep_checkpoints, self.trainer.best and self.trainer.best[0])
            self._log("checkpoint", path=path.name)

    def _preview(self) -> None:
        if self.previewer is None or not self.leads:
            return
        paths = self.previewer.draw(self.step, read_state(self.base.transformer), self.metadata)
        self._log("preview", pictures=[path.relative_to(self.folder.path).as_posix() for path in paths])

    def _previewer(self, model: Any, dataset: Dataset) -> Previewer | None:
        if model is None:
            if self.config.previews.every:
                raise TrainingError(
                    f"The engine cannot draw with {self.config.model} yet, so there are no previews.",
                    "Set previews.every to 0.",
                )
            return None
        return Previewer(self.config, self.folder, self.catalog, model, dataset)

    def _resume(self) -> None:
        """Go to the last whole checkpoint, if there is one."""
        if self.leads and self.folder.checkpoints.is_dir():
            for rest in self.folder.checkpoints.glob(".step-*"):  # of a run that was killed while it saved
                shutil.rmtree(rest, ignore_errors=True)
        steps = self.folder.steps_saved()
        if not steps:
            if self.leads:
                self.folder.rewind(-1)
            return
        checkpoint = load_checkpoint(self.folder.checkpoint(steps[-1]))
        check_same(checkpoint.facts, self.facts, f"The run {self.folder.name}")
        self.trainer.restore(checkpoint)
        self.step = self._checked = checkpoint.step
        if self.leads:
            self.folder.rewind(self.step)

    def _finish(self) -> None:
        if self.leads:
            from finetune.card import write_card
            from finetune.finish import finish

            finish(self.folder, self.trainer, pattern=self.pattern, home=self.catalog.home)
            write_card(self.folder)

    def _log_step(self) -> None:
        loss, peak = self.trainer.recent_loss(), peak_memory(self.device)
        speed = self._steps / self._spent if self._spent else 0.0
        self._spent, self._steps = 0.0, 0
        rate = self.trainer.optimiser.param_groups[0]["lr"]
        self._log(
            "step", loss=loss, learning_rate=rate, norm=self.trainer.norm, per_second=round(speed, 4), memory=peak
        )
        if self.config.trackers:
            self.accelerator.log({"loss": loss, "learning_rate": rate, "norm": self.trainer.norm}, step=self.step)

    def _log(self, event: str, **values: Any) -> None:
        if not self.leads:
            return
        record = {"event": event, "step": self.step, **values, "time": now()}
        if self.config.trackers and event == "held_out":
            self.accelerator.log({"held_out_loss": values["loss"]}, step=self.step)
        self.folder.append(record)
        self.listen(record)

    def _status(self, state: State, message: str = "") -> Status:
        pid = os.getpid()
        status = Status(state, self.step, self.config.steps, pid, process_started(pid), message)
        if self.leads:
            self.folder.set_status(status)
            self._told = time.monotonic()
        return status

    def _progress(self, what: str) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            self.listen({"event": "preparing", "what": what, "done": done, "total": total})
            if self.leads and time.monotonic() - self._told > STATUS_EVERY:
                self._status("preparing", f"{what}: {done} of {total}")

        return tell


def run_facts(config: TrainConfig, base: Base, dataset: Dataset) -> dict[str, Any]:
    """What decides the adapter's values: a resume compares it with its checkpoint's."""
    facts = config.decisive() | {"model": base.fingerprint, "precision": base.precision}
    return {"config": facts, "data": dataset.manifest}


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that the device, or on the CPU this process, has used."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(ImportError):  # Windows has no such module
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak if sys.platform == "darwin" else peak * 1024)
    return 0
