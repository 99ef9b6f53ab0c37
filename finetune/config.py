"""Everything that decides a training run, as one frozen object that reads and writes YAML.

Only `model` and `data` must be given. A field that is unknown, out of range or senseless is refused here, before
anything is loaded; what only the model's files can tell (a distilled base, a rank past a layer's width, targets that
match nothing) is refused by `finetune.checks`, before the first step.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from finetune.data.config import DataConfig, source_name
from workbench.errors import WorkbenchError, nearest

MAX_BYTES = 1_000_000  # of a configuration file; none needs more

AdapterKind = Literal["lora", "rslora", "dora", "lokr"]
OptimiserKind = Literal["adamw", "adamw8bit", "adafactor", "prodigy"]
ScheduleKind = Literal["constant", "cosine", "linear"]
TimestepKind = Literal["logit_normal_shift", "logit_normal", "uniform", "mode", "shift"]
WeightingKind = Literal["none", "sigma_sqrt", "cosmap"]
TrainPrecision = Literal["auto", "float32", "bfloat16"]
Checkpointing = Literal["none", "all"]


class TrainConfigError(WorkbenchError):
    """A training configuration is unreadable, or a field of it is unknown, out of range or senseless."""

    code = "WB510"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AdapterConfig(_Part):
    """What is trained: low-rank changes of linear layers."""

    kind: AdapterKind = Field(
        default="lora",
        description="lora (portable everywhere), rslora (alpha / sqrt(rank)), dora (diffusers only), lokr (ComfyUI).",
    )
    rank: int = Field(default=16, ge=1, le=1024, description="Rank of the change, 1 to 1024.")
    alpha: float | None = Field(default=None, description="Scale is alpha / rank; more than 0; empty: the rank.")
    targets: str = Field(
        default="blocks",
        min_length=1,
        description="blocks (every linear layer of the blocks), attention, mlp, or a regular expression.",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of adapter inputs set to zero, 0 to below 1.")
    rank_pattern: dict[str, int] = Field(default_factory=dict, description="Another rank for matching modules.")

    @property
    def scale_alpha(self) -> float:
        """Alpha with its default filled in."""
        return float(self.rank) if self.alpha is None else self.alpha

    @field_validator("alpha")
    @classmethod
    def _positive(cls, alpha: float | None) -> float | None:
        if alpha is not None and alpha <= 0:
            raise ValueError("alpha must be more than 0, as the change is scaled by alpha / rank; leave it out for 1")
        return alpha

    @field_validator("targets")
    @classmethod
    def _pattern(cls, targets: str) -> str:
        try:
            re.compile(targets)
        except re.error as error:
            raise ValueError(f"it is no regular expression ({error})") from None
        return targets

    @model_validator(mode="after")
    def _portable(self) -> Self:
        if self.rank_pattern and self.kind != "lora":
            raise ValueError("rank_pattern goes with kind 'lora' only")
        if any(rank < 1 for rank in self.rank_pattern.values()):
            raise ValueError("every rank of rank_pattern must be 1 or more")
        return self


class OptimiserConfig(_Part):
    """How the weights move."""

    kind: OptimiserKind = Field(default="adamw", description="adamw, adamw8bit (bitsandbytes), adafactor, prodigy.")
    learning_rate: float = Field(default=1e-4, gt=0, le=10, description="Step size; prodigy wants 1.")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Decay of the second moment.")
    epsilon: float = Field(default=1e-8, gt=0, description="Added to the root of the second moment.")
    weight_decay: float = Field(default=1e-4, ge=0, description="Decoupled weight decay.")
    clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient of a step.")


class ScheduleConfig(_Part):
    """Learning rate over the run."""

    kind: ScheduleKind = Field(default="constant", description="constant, or cosine or linear down to 0 at the end.")
    warmup: int | None = Field(
        default=None, ge=0, description="Steps over which the rate rises from 0; empty: 20, or a tenth of a short run."
    )


class TimestepConfig(_Part):
    """Which noise levels are trained, and how much each counts."""

    kind: TimestepKind = Field(
        default="logit_normal_shift",
        description="logit_normal_shift (by resolution, as inference shifts), logit_normal, uniform, mode, shift.",
    )
    mean: float = Field(default=0.0, ge=-5, le=5, description="Mean of the logit, for the logit-normal kinds.")
    std: float = Field(default=1.0, gt=0, le=5, description="Standard deviation of the logit.")
    mode_scale: float = Field(default=1.29, ge=-1, le=1.75, description="Scale of kind 'mode'.")
    shift: float = Field(default=3.0, gt=0, le=100, description="Shift of kind 'shift'.")
    weighting: WeightingKind = Field(default="none", description="Loss weight: none, sigma_sqrt, cosmap.")


class HeldOutConfig(_Part):
    """The loss on the pictures that `data.held_out` keeps from training: same levels and noise every time."""

    levels: int = Field(default=8, ge=1, le=64, description="Fixed noise levels for every held-out picture.")
    every: int = Field(default=50, ge=1, description="Steps between two measurements.")
    patience: int | None = Field(
        default=None, ge=1, description="Stop after this many measurements without a new best; empty: never."
    )


class PreviewConfig(_Part):
    """Pictures drawn during the run, always with the same seeds."""

    every: int = Field(default=0, ge=0, description="Steps between previews; 0: none.")
    prompts: tuple[str, ...] = Field(default=(), description="What to draw; empty: captions of held-out pictures.")
    seed: int = Field(default=0, ge=0, description="Seed of the first prompt; the next has the next seed.")
    steps: int | None = Field(default=None, ge=1, le=200, description="Denoising steps; empty: the model's.")
    width: int | None = Field(default=None, ge=16, description="Width in pixels; empty: the model's.")
    height: int | None = Field(default=None, ge=16, description="Height in pixels; empty: the model's.")
    distilled: str | None = Field(
        default=None, description="Also draw on this model; empty: the distilled partner, if the catalog has it."
    )


class TrainConfig(_Part):
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
    gradient_checkpointing: Checkpointing = Field(
        default="none", description="all: recompute blocks in the backward pass; less memory, a third more time."
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
            raise _explain(error, cls) from None

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
)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _explain(error: ValidationError, cls: type[BaseModel]) -> TrainConfigError:
    """One sentence about the first fault, with the nearest right name for an unknown field."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        owner = _model_at(cls, path[:-1])
        known = owner.model_fields if owner else cls.model_fields
        return TrainConfigError(f"There is no field {name!r} in a training configuration.", nearest(path[-1], known))
    if first["type"] == "missing":
        return TrainConfigError(f"The training configuration lacks {name!r}.", "Only model and data must be given.")
    reason = first["msg"].removeprefix("Value error, ").removesuffix(".")
    if not path:
        return TrainConfigError(f"The training configuration cannot be used: {reason}.", "Correct it and run again.")
    owner = _model_at(cls, path[:-1])
    field = owner.model_fields.get(path[-1]) if owner else None
    value = repr(first["input"])
    value = value if len(value) <= 80 else value[:77] + "..."
    return TrainConfigError(
        f"The field {name} cannot be {value}: {reason[:1].lower()}{reason[1:]}.",
        field.description if field and field.description else "Correct the value.",
    )


def _model_at(cls: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    """The part of the configuration that the fields of `path` lead to."""
    for name in path:
        field = cls.model_fields.get(name)
        kind: Any = field.annotation if field else None
        options = [kind, *get_args(kind)] if get_origin(kind) else [kind]
        models = [each for each in options if isinstance(each, type) and issubclass(each, BaseModel)]
        if not models:
            return None
        cls = models[0]
    return cls
