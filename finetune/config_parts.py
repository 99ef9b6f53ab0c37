"""The groups of fields of a training configuration: adapter, optimiser, schedule, noise levels, held-out loss, previews.

Every field says its range and default; `finetune.config` puts the groups together.
"""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

AdapterKind = Literal["lora", "rslora", "dora", "lokr"]
OptimiserKind = Literal["adamw", "adamw8bit", "adafactor", "prodigy"]
ScheduleKind = Literal["constant", "cosine", "linear"]
TimestepKind = Literal["logit_normal_shift", "logit_normal", "uniform", "mode", "shift"]
WeightingKind = Literal["none", "sigma_sqrt", "cosmap"]


class Part(BaseModel):
    """A frozen group of fields; an unknown one is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AdapterConfig(Part):
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
    rank_pattern: dict[str, int] = Field(
        default_factory=dict, description="Another rank for modules whose names end so; the scale stays the same."
    )
    alpha_pattern: dict[str, float] = Field(
        default_factory=dict, description="Another alpha for modules whose names end so; more than 0."
    )

    @property
    def scale_alpha(self) -> float:
        """Alpha with its default filled in."""
        return float(self.rank) if self.alpha is None else self.alpha

    @property
    def alphas(self) -> dict[str, float]:
        """Alpha of modules that have one of their own: with another rank the scale, alpha / rank, stays the same."""
        scaled = {own: self.scale_alpha * rank / self.rank for own, rank in self.rank_pattern.items()}
        return {**scaled, **self.alpha_pattern}

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
        if (self.rank_pattern or self.alpha_pattern) and self.kind != "lora":
            raise ValueError("rank_pattern and alpha_pattern go with kind 'lora' only")
        if any(alpha <= 0 for alpha in self.alpha_pattern.values()):
            raise ValueError("every alpha of alpha_pattern must be more than 0")
        if any(rank < 1 for rank in self.rank_pattern.values()):
            raise ValueError("every rank of rank_pattern must be 1 or more")
        return self


class OptimiserConfig(Part):
    """How the weights move."""

    kind: OptimiserKind = Field(default="adamw", description="adamw, adamw8bit (bitsandbytes), adafactor, prodigy.")
    learning_rate: float = Field(default=1e-4, gt=0, le=10, description="Step size; prodigy wants 1.")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Decay of the second moment.")
    epsilon: float = Field(default=1e-8, gt=0, description="Added to the root of the second moment.")
    weight_decay: float = Field(default=1e-4, ge=0, description="Decoupled weight decay.")
    clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient of a step.")


class ScheduleConfig(Part):
    """Learning rate over the run."""

    kind: ScheduleKind = Field(default="constant", description="constant, or cosine or linear down to 0 at the end.")
    warmup: int | None = Field(
        default=None, ge=0, description="Steps over which the rate rises from 0; empty: 20, or a tenth of a short run."
    )


class TimestepConfig(Part):
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


class HeldOutConfig(Part):
    """The loss on the pictures that `data.held_out` keeps from training: same levels and noise every time."""

    levels: int = Field(default=8, ge=1, le=64, description="Fixed noise levels for every held-out picture.")
    every: int = Field(default=50, ge=1, description="Steps between two measurements.")
    patience: int | None = Field(
        default=None, ge=1, description="Stop after this many measurements without a new best; empty: never."
    )


class PreviewConfig(Part):
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
