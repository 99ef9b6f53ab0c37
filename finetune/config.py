"""Everything that decides a training run, as one frozen object that reads and writes YAML.

Only `model` and `data` must be given. A field that is unknown, out of range or senseless is refused here, before
anything is loaded; what only the model's files can tell (a distilled base, a rank past a layer's width, targets that
match nothing) is refused when the base is loaded, before the first step.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from finetune.config_errors import TrainConfigError, explain
from finetune.config_parts import (
    AdapterConfig,
    AdapterKind,
    HeldOutConfig,
    OptimiserConfig,
    OptimiserKind,
    Part,
    PreviewConfig,
    ScheduleConfig,
    ScheduleKind,
    TimestepConfig,
    TimestepKind,
    WeightingKind,
)
from finetune.data.config import DataConfig, source_name
from finetune.recompute import Checkpointing

__all__ = [
    "AdapterConfig",
    "AdapterKind",
    "HeldOutConfig",
    "OptimiserConfig",
    "OptimiserKind",
    "PreviewConfig",
    "ScheduleConfig",
    "ScheduleKind",
    "TimestepConfig",
    "TimestepKind",
    "TrainConfig",
    "TrainConfigError",
    "WeightingKind",
]

MAX_BYTES = 1_000_000  # of a configuration file; none needs more

TrainPrecision = Literal["auto", "float32", "bfloat16"]
Quant = Literal["none", "int8", "fp8", "nf4"]
Prior = Literal["base", "pictures"]


class TrainConfig(Part):
    """One training run. Two equal configurations on equal data give equal adapters, bit for bit, on the CPU."""

    model: str = Field(min_length=1, description="Base model in the catalog, or a diffusers folder.")
    data: DataConfig = Field(description="What to learn from.")
    name: str = Field(
        default="",
        pattern=r"^$|^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Name of the run and of its adapter; empty: from the data's folder.",
    )
    adapter: AdapterConfig = Field(default_factory=AdapterConfig)
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    timesteps: TimestepConfig = Field(default_factory=TimestepConfig)
    held_out: HeldOutConfig = Field(default_factory=HeldOutConfig)
    previews: PreviewConfig = Field(default_factory=PreviewConfig)
    steps: int = Field(default=1000, ge=1, le=10_000_000, description="Optimiser steps.")
    batch_size: int = Field(default=1, ge=1, le=4096, description="Examples of a step, over all processes.")
    accumulation: int = Field(default=1, ge=1, le=1024, description="Batches whose gradients make one step.")
    guidance: float = Field(default=1.0, ge=0, le=100, description="Embedded guidance, for models that have it.")
    precision: TrainPrecision = Field(
        default="auto", description="Of the frozen base: bfloat16 on CUDA, else float32. Adapters are always float32."
    )
    quant: Quant = Field(
        default="none",
        description="Blocks of the frozen base in fewer bits, to save memory: int8, fp8, nf4; for lora and rslora.",
    )
    gradient_checkpointing: Checkpointing = Field(
        default="auto",
        description="Recompute blocks in the backward pass: all takes much less memory and a third more time; half; none; "
        "auto: as few as the device's free memory asks for.",
    )
    compile: bool = Field(
        default=False, description="Have torch compile the blocks; slow to start, for long runs on GPUs."
    )
    deterministic: bool = Field(
        default=False, description="On CUDA, use only kernels that give the same bits every time; the CPU always does."
    )
    prior: Prior = Field(
        default="base",
        description="What regularisation pictures and dropped captions are held to: base (what it answers), or pictures.",
    )
    prior_weight: float = Field(
        default=1.0, gt=0, le=1000, description="Factor of their loss with prior: base; 1 to 10 are usual."
    )
    ema: float | None = Field(default=None, gt=0, lt=1, description="Decay of a running average that is what is saved.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of everything random.")
    checkpoint_every: int = Field(default=100, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int | None = Field(default=None, ge=1, description="Keep the last so many; empty: all.")
    log_every: int = Field(default=10, ge=1, description="Steps between lines of the log.")
    trackers: tuple[str, ...] = Field(default=(), description="Trackers of accelerate, for example tensorboard.")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:N.")
    allow_distilled: bool = Field(default=False, description="Train a step-distilled model although it is no base.")

    @model_validator(mode="before")
    @classmethod
    def _half(cls, values: Any) -> Any:
        if isinstance(values, dict) and str(values.get("precision")) in ("float16", "fp16", "half"):
            raise ValueError(
                "float16 overflows in FLUX's activations and gives NaN; use bfloat16, or float32 where it is missing"
            )
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.quant != "none" and self.adapter.kind not in ("lora", "rslora"):
            raise ValueError(f"quant: {self.quant} goes with lora and rslora: {self.adapter.kind} needs whole weights")
        if self.warmup >= self.steps and self.steps > 1:
            raise ValueError(f"the warm-up of {self.warmup} steps leaves nothing of {self.steps} steps")
        return self

    @property
    def run_name(self) -> str:
        """Name of run and adapter, the default filled in."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source_name(self.data.sources[0])).stem).strip("-._")
        return self.name or stem[:100] or "run"

    @property
    def warmup(self) -> int:
        """Steps of warm-up, the default filled in."""
        return min(20, self.steps // 10) if self.schedule.warmup is None else self.schedule.warmup

    @classmethod
    def parse(cls, values: Any) -> Self:
        """Build a configuration from untrusted `values`.

        Raises:
            TrainConfigError: an unknown field (with the nearest right name), or a value that cannot be used.
            DataConfigError: the same inside `data`.
        """
        if not isinstance(values, dict):
            raise TrainConfigError("A training configuration is a mapping of fields.", "Write 'model: NAME'.")
        if "data" in values and not isinstance(values["data"], DataConfig):
            values = {**values, "data": DataConfig.parse(values["data"])}
        try:
            return cls(**values)
        except ValidationError as error:
            raise explain(error, cls) from None

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read a configuration from YAML (or JSON, which is YAML).

        Raises:
            TrainConfigError: no YAML, or a field is wrong.
        """
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise TrainConfigError(f"The configuration is not valid YAML: {' '.join(str(error).split())}.") from None
        return cls.parse(values)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file `path`.

        Raises:
            TrainConfigError: it cannot be read, or is wrong.
        """
        try:
            data = path.read_bytes()[: MAX_BYTES + 1]
            if len(data) > MAX_BYTES:
                raise TrainConfigError(f"The file {path} is too large for a configuration.", "Name a YAML file.")
            return cls.from_yaml(data.decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise TrainConfigError(f"The configuration {path} cannot be read: {error}.", "Check the path.") from None

    def to_yaml(self) -> str:
        """The configuration as YAML, every field written out, so that later defaults change nothing."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        return text

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated like a new one.

        Raises:
            TrainConfigError: as `parse`.
        """
        return self.parse(self.model_dump() | changes)

    def decisive(self) -> dict[str, Any]:
        """The fields that decide the adapter's values, flat (`adapter.rank`): what a resumed run must have in common."""
        facts = {
            name: value for name, value in _flat(self.model_dump(mode="json")).items() if not name.startswith(_FREE)
        }
        if self.schedule.kind == "constant":
            facts = {name: value for name, value in facts.items() if name != "steps"}
        return facts | {"schedule.warmup": self.warmup}


# A resumed run may change these: none has a part in the values of the adapter, and data are compared by what they hold.
# The number of steps is free as long as the learning rate does not depend on it.
_FREE = (
    "name",
    "data.",
    "device",
    "previews.",
    "checkpoint_every",
    "keep_checkpoints",
    "log_every",
    "trackers",
    "held_out.patience",
    "gradient_checkpointing",
)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
