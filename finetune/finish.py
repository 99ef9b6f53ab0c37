"""The end of a run: the portable adapter file, its place in the catalog, its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from finetune.adapters import PREFIX, read_state
from finetune.base import Base
from finetune.config import TrainConfig
from finetune.loop import Trainer
from finetune.runfolder import RunFolder
from workbench.store.files import make_folder, write_atomically


def finish(folder: RunFolder, trainer: Trainer, *, pattern: str, home: Path) -> tuple[Path, Path]:
    """Write the finished adapter into the run's folder and into the catalog.

    Returns:
        Both paths.

    Raises:
        FormatError: a value is not finite.
        StoreError: a file cannot be written.
    """
    from finetune.formats import save_adapter

    config, base = trainer.config, trainer.base
    adapter = config.adapter
    state = {key.removeprefix(PREFIX): value for key, value in final_state(trainer).items()}
    save_adapter(
        folder.adapter,
        state,
        family=base.row.name,
        rank=adapter.rank,
        alpha={**adapter.alphas, ".*": adapter.scale_alpha} if adapter.alphas else adapter.scale_alpha,
        targets=pattern,
        metadata=header(folder, config, base, trainer),
        rslora=adapter.kind == "rslora",
        dtype="float32" if base.precision == "float32" else "bfloat16",
    )
    target = home / "adapters" / f"{folder.name}.safetensors"
    make_folder(target.parent)
    write_atomically(target, folder.adapter.read_bytes())
    return folder.adapter, target


@torch.no_grad()
def final_state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """The adapter as it is kept: the running average where there is one."""
    if trainer.average is None:
        return read_state(trainer.base.transformer)
    own = [parameter.detach().clone() for parameter in trainer.parameters]
    try:
        for parameter, slow in zip(trainer.parameters, trainer.average, strict=True):
            parameter.copy_(slow)
        return read_state(trainer.base.transformer)
    finally:
        for parameter, value in zip(trainer.parameters, own, strict=True):
            parameter.copy_(value)


def header(folder: RunFolder, config: TrainConfig, base: Base, trainer: Trainer) -> dict[str, Any]:
    """What the file says of its making, under the names that other programs look for."""
    dataset = trainer.features.dataset
    return {
        "ss_output_name": folder.name,
        "ss_learning_rate": config.optimiser.learning_rate,
        "ss_optimizer": config.optimiser.kind,
        "ss_lr_scheduler": config.schedule.kind,
        "ss_lr_warmup_steps": config.warmup,
        "ss_steps": trainer.step,
        "ss_max_train_steps": config.steps,
        "ss_seed": config.seed,
        "ss_batch_size_per_device": config.batch_size,
        "ss_gradient_accumulation_steps": config.accumulation,
        "ss_resolution": ",".join(sorted({str(row.bucket) for row in dataset.buckets()})),
        "ss_num_train_images": len(dataset.examples),
        "ss_tag_frequency": {folder.name: {config.data.trigger: len(dataset.examples)}} if config.data.trigger else {},
        "modelspec.trigger_phrase": config.data.trigger,
        "workbench.base_model": base.name,
        "workbench.base_fingerprint": base.fingerprint,
        "workbench.data_fingerprint": dataset.fingerprint,
    }
