"""One run from its folder: prepare, train or resume, log, save, draw, finish.

The same function runs in the process of a command line and in a process of its own; everything that others may know of
it is in the run's folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from typing import Any

import torch

from finetune.adapters import attach, check_targets, file_metadata, read_state
from finetune.base import Base, check_base, find_base, load_base, training_device
from finetune.cache import FeatureCache
from finetune.checkpoint import check_same, load_checkpoint, prune, save_checkpoint
from finetune.commands import next_command
from finetune.config import TrainConfig
from finetune.data import Dataset, read_dataset
from finetune.failures import TrainingError, out_of_memory
from finetune.features import encode_dataset
from finetune.journal import Journal, Listener, peak_memory
from finetune.loop import Order, Trainer
from finetune.optim import make_optimiser
from finetune.passes import choose_recomputed, compile_blocks, deterministic, free_memory, training_memory
from finetune.preview import Previewer
from finetune.processes import agree, make_accelerator
from finetune.quantise import quantise_base
from finetune.recompute import recompute_blocks
from finetune.runfolder import RunFolder, State, Status
from workbench.engine.events import CancelToken
from workbench.errors import Cancelled, WorkbenchError
from workbench.models.catalog import ModelCatalog
from workbench.store.files import write_atomically


def execute(
    folder: RunFolder,
    catalog: ModelCatalog,
    *,
    listen: Listener | None = None,
    token: CancelToken | None = None,
    allow: Collection[str] = (),
) -> Status:
    """Train the run in `folder` to its end, from its last checkpoint if it has one.

    Args:
        folder: with its configuration.
        catalog: finds the model; the finished adapter goes into its home.
        listen: called with every line of the log, and with {"event": "preparing", "done", "total"} before.
        token: stops the run after the current step, with a checkpoint.
        allow: fields that may differ from those of the checkpoint; see `finetune.checkpoint.check_same`.

    Returns:
        The last status: finished or stopped.

    Raises:
        WorkbenchError: the run cannot start or had to stop; the status says so too.
    """
    execution = Execution(folder, catalog, listen or (lambda _: None), token or CancelToken(), allow)
    try:
        execution.prepare()
        return execution.train()
    except Cancelled:
        return execution.end("stopped", "Stopped before the first step.")
    except torch.OutOfMemoryError as error:
        failure = execution.out_of_memory()
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

    def __init__(
        self, folder: RunFolder, catalog: ModelCatalog, listen: Listener, token: CancelToken, allow: Collection[str]
    ) -> None:
        self.folder, self.catalog, self.token, self.allow = folder, catalog, token, allow
        self.config = folder.config
        self.device = training_device(self.config, int(os.environ.get("LOCAL_RANK", "0")))
        self.accelerator = make_accelerator(self.config, self.device, str(folder.path))
        self.leads: bool = self.accelerator.is_main_process
        self.journal = Journal(folder, self.config, self.accelerator, listen)
        self.step = 0
        self._checked = -1  # step of the last held-out measurement
        self._waits = 0  # held-out measurements since the best one

    def prepare(self) -> None:
        """Read the data, load the base, encode everything, attach the adapter, and go to the last checkpoint."""
        config = self.config
        if self.leads:
            self.folder.clear("stop", "pause")
        self._tell("preparing", "Reading the pictures.")
        facts = find_base(config.model, self.catalog)
        check_base(facts, config)
        dataset = read_dataset(config.data, facts.row, progress=self.journal.progress("pictures"), token=self.token)
        self._tell("preparing", "Loading the model.")
        self.base = load_base(facts, config, self.device)
        references = any(example.references for example in dataset.examples)
        self.pattern = facts.family.pattern(config.adapter.targets, references=references)
        check_targets(facts.family, self.base.transformer, config.adapter, self.pattern)
        self.previewer = Previewer(config, self.folder, self.catalog, facts.model, dataset)
        cache = FeatureCache(self.catalog.home / "cache" / "features")
        with self.accelerator.main_process_first():
            features = encode_dataset(
                dataset, self.base, cache, progress=self.journal.progress("features"), token=self.token
            )
        features.check_batches(config)
        self.base.drop_encoders()
        transformer = self.base.transformer
        parameters = attach(transformer, config.adapter, self.pattern, config.seed)
        quantise_base(transformer, config.quant, self.base.dtype)
        self.needs = training_memory(facts, self.base, config, dataset)
        self.recomputed = choose_recomputed(config, self.needs, free_memory(self.device))
        recompute_blocks(transformer, self.recomputed)
        compile_blocks(transformer, wanted=config.compile)
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
                      parameters=sum(each.numel() for each in parameters), recomputed=self.recomputed,
                      resumed=self.step > 0)  # fmt: skip
        if config.trackers:
            self.accelerator.init_trackers(self.folder.name)

    def train(self) -> Status:
        """Train to the end, or to a stop."""
        if self.step == 0:
            self._measure()
            if self.config.previews.every:
                self._preview()
        self._tell("running")
        self.journal.step_begins()
        with deterministic(wanted=self.config.deterministic):
            self.trainer.train(self._each_step)
        if self.config.trackers:
            self.accelerator.end_training()
        if self.step >= self.config.steps or self._waits_too_long():
            self._finish()
            return self.end("finished")
        return self.end("stopped")

    def end(self, state: State, message: str = "") -> Status:
        """Say how the run ended."""
        self._log(state, message=message)
        return self._tell(state, message)

    def _each_step(self, trainer: Trainer) -> Order:
        """What is due after a step."""
        self.step, config = trainer.step, self.config
        self.journal.step_ended()
        last = self.step >= config.steps
        if self.step % config.log_every == 0 or last or self.step == 1:
            self.journal.log_step(trainer)
        if self.step % config.held_out.every == 0 or last:
            self._measure()
        command = agree(self.accelerator, next_command(self.folder, self.token, self._tell) if self.leads else "")
        stop = command == "stop" or self._waits_too_long()
        if self.step % config.checkpoint_every == 0 or last or stop or command == "save":
            self._save()
        every = config.previews.every
        if command == "sample" or (every and (self.step % every == 0 or last)):
            self._preview()
        if self.journal.is_stale:
            self._tell("running")
        self.journal.step_begins()
        return "stop" if stop else "go on"

    def out_of_memory(self) -> TrainingError:
        """What to tell when the device's memory is used up: what was tried, and what to do, the cheapest first."""
        if not hasattr(self, "trainer"):
            return out_of_memory(self.config)
        largest = max(self.trainer.features.dataset.buckets(), key=lambda row: row.bucket.width * row.bucket.height)
        needs = self.needs[self.recomputed] if self.needs else 0.0
        used = peak_memory(self.device)
        return out_of_memory(self.config, largest=str(largest.bucket), used=used, estimated=needs)

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
            self.trainer.saved = self.step
            prune(self.folder, self.config.keep_checkpoints, self.trainer.best and self.trainer.best[0])
            self._log("checkpoint", path=path.name)

    def _preview(self) -> None:
        if not self.leads:
            return
        paths = self.previewer.draw(self.step, read_state(self.base.transformer), self.metadata)
        self._log("preview", pictures=[path.relative_to(self.folder.path).as_posix() for path in paths])

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
        check_same(checkpoint.facts, self.facts, f"The run {self.folder.name}", self.allow)
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

    def _log(self, event: str, **values: Any) -> None:
        self.journal.log(event, self.step, **values)

    def _tell(self, state: State, message: str = "") -> Status:
        return self.journal.tell(state, self.step, message)


def run_facts(config: TrainConfig, base: Base, dataset: Dataset) -> dict[str, Any]:
    """What decides the adapter's values: a resume compares it with its checkpoint's."""
    facts = config.decisive() | {"model": base.fingerprint, "precision": base.precision}
    return {"config": facts, "data": dataset.manifest}
