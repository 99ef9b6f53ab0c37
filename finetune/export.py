"""A checkpoint of a run as a portable adapter file, and that file's place in the catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.config import TrainConfig
from finetune.runfolder import RunError, RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from finetune.base import BaseFacts
    from finetune.checkpoint import Checkpoint
    from finetune.formats.save import SaveDtype, SaveFormat
    from workbench.models.catalog import ModelCatalog


def steps_of(folder: RunFolder) -> list[int]:
    """Steps that have a checkpoint, rising.

    Raises:
        RunError: there is none.
    """
    steps = folder.steps_saved()
    if not steps:
        raise RunError(f"The run {folder.name!r} has no checkpoint.", "Let it train, or set checkpoint_every lower.")
    return steps


def export_checkpoint(
    folder: RunFolder,
    step: int | None,
    out: Path,
    catalog: ModelCatalog,
    *,
    format: SaveFormat = "diffusers",  # noqa: A002
    dtype: SaveDtype | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Path:
    """Write the adapter of one checkpoint, with the scale folded in; a running average takes the weights' place.

    Args:
        folder: of the run.
        step: of the checkpoint; None: the last.
        out: the .safetensors file.
        catalog: finds the model that was trained.
        format: naming.
        dtype: precision; default: float32 where the base was trained in it, else bfloat16.
        metadata: more for the file's header.

    Raises:
        RunError: the run has no checkpoint of that step.
        CheckpointError: it is damaged.
        FormatError: the format cannot hold the adapter.
        StoreError: the file cannot be written.
    """
    from finetune.base import find_base
    from finetune.checkpoint import load_checkpoint
    from finetune.formats import save_adapter

    steps = steps_of(folder)
    step = steps[-1] if step is None else step
    if step not in steps:
        known = ", ".join(map(str, steps))
        raise RunError(f"The run {folder.name!r} has no checkpoint of step {step}.", f"It has these: {known}.")
    config = folder.config
    checkpoint = load_checkpoint(folder.checkpoint(step))
    settings = _settings(checkpoint)
    base = find_base(config.model, catalog)
    adapter = config.adapter
    precision = dtype or ("float32" if _facts(checkpoint).get("precision") == "float32" else "bfloat16")
    return save_adapter(
        out,
        _averaged(folder, checkpoint, base) if checkpoint.average else checkpoint.adapter,
        family=base.row.name,
        rank=adapter.rank,
        alpha={**settings["alpha_pattern"], ".*": adapter.scale_alpha}
        if settings.get("alpha_pattern")
        else adapter.scale_alpha,
        targets=str(settings.get("target_modules", adapter.targets)),
        metadata={**_header(folder, config, checkpoint), **(metadata or {})},
        format=format,
        dtype=precision,
        rslora=adapter.kind == "rslora",
    )


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    stated = json.loads(checkpoint.metadata.get("lora_adapter_metadata", "{}"))
    return {key.removeprefix("transformer."): value for key, value in stated.items()}


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    config: dict[str, Any] = checkpoint.facts.get("config", {})
    return config


def _header(folder: RunFolder, config: TrainConfig, checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "ss_output_name": folder.name,
        "ss_learning_rate": config.optimiser.learning_rate,
        "ss_optimizer": config.optimiser.kind,
        "ss_lr_scheduler": config.schedule.kind,
        "ss_steps": checkpoint.step,
        "ss_max_train_steps": config.steps,
        "ss_seed": config.seed,
        "modelspec.trigger_phrase": config.data.trigger,
        "workbench.run": folder.name,
        "workbench.base_model": config.model,
        "workbench.base_fingerprint": _facts(checkpoint).get("model", ""),
        **_data(folder, config),
    }


def _data(folder: RunFolder, config: TrainConfig) -> dict[str, object]:
    """What the adapter learned from, so that its pictures can be traced; last names of paths, no folders of this machine."""
    from finetune.data.manifest import fingerprint

    names = [source.name or source.path.rstrip("/").rpartition("/")[2] for source in config.data.sources]
    facts: dict[str, object] = {"workbench.data": names}
    if folder.data.is_file():
        manifest = json.loads(folder.data.read_text(encoding="utf-8"))
        facts["workbench.data_examples"] = len(manifest["examples"])
        facts["workbench.data_fingerprint"] = fingerprint(manifest)
    return facts


def _averaged(folder: RunFolder, checkpoint: Checkpoint, base: BaseFacts) -> dict[str, Tensor]:
    """The running average under the weights' names. A checkpoint keeps it by place, in the order of the model."""
    import diffusers
    from accelerate import init_empty_weights

    from finetune.adapters import NAME, PREFIX, attach
    from workbench.models.checkpoint import read_json

    config = folder.config
    shape = read_json(base.path / "transformer" / "config.json")
    with init_empty_weights():
        transformer = getattr(diffusers, str(shape["_class_name"])).from_config(shape)
        attach(transformer, config.adapter, str(_settings(checkpoint)["target_modules"]), config.seed)
    names = [
        PREFIX + name.replace(f".{NAME}", "")
        for name, parameter in transformer.named_parameters()
        if parameter.requires_grad
    ]
    averaged = {name: checkpoint.average[str(place)] for place, name in enumerate(names)}
    if missing := set(checkpoint.adapter) ^ set(averaged):
        raise RunError(
            f"The running average of step {checkpoint.step} does not fit the model: {min(missing)}.",
            "Resume the run, so that it writes a checkpoint of its own.",
        )
    return averaged
