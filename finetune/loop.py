"""The training loop, from the first step to the last.

Every step is a function of the adapter, the optimiser and (seed, step): which pictures, which noise and which learning
rate follow from the step's number alone. So a run that is stopped anywhere and resumed gives the same bits, and several
processes share a batch without talking about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from finetune.adapters import read_state, write_state
from finetune.base import Base
from finetune.checkpoint import Checkpoint
from finetune.config import TrainConfig
from finetune.failures import TrainingError, not_finite
from finetune.features import Features, plan
from finetune.objective import flow_losses
from finetune.optim import clip_gradients, learning_rate, set_learning_rate
from finetune.prior import with_prior
from finetune.processes import sum_over_processes
from finetune.sampling import generator

Order = Literal["go on", "stop"]


@dataclass
class Trainer:
    """One process's part of a run.

    `each_step` is called after every step and says whether to go on; it may read anything here.
    """

    config: TrainConfig
    base: Base
    features: Features
    parameters: list[nn.Parameter]
    optimiser: torch.optim.Optimizer
    accelerator: Any
    step: int = 0  # optimiser steps done
    average: list[Tensor] | None = None  # running average of the parameters
    norm: float = 0.0  # of the last step's gradient
    saved: int = 0  # step of the last checkpoint
    best: tuple[int, float] | None = None  # step and held-out loss of the best measurement
    _losses: list[Tensor] = field(default_factory=list)  # of the steps since they were last asked for

    def train(self, each_step: Callable[[Trainer], Order]) -> None:
        """Train up to the configured number of steps.

        Raises:
            TrainingError: a loss or gradient that is not finite; the adapter is as before that step.
        """
        while self.step < self.config.steps:
            rate = learning_rate(self.config, self.step + 1)
            set_learning_rate(self.optimiser, rate)
            loss = self._accumulate()
            sum_over_processes(self.accelerator, loss, self.parameters)
            self.norm = float(clip_gradients(self.parameters, self.config.optimiser.clip))
            if not math.isfinite(self.norm + float(loss)):
                raise self._not_finite(float(loss), rate)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            self.step += 1
            self._losses.append(loss)
            self._follow()
            if each_step(self) == "stop":
                return

    def _accumulate(self) -> Tensor:
        """Gradients of one step on this process's share of its batches; their loss."""
        total = torch.zeros((), device=self.base.device)
        for micro in self._micro_steps():
            bucket, items = plan(self.features.dataset, self.config, micro)
            mine = items[self.accelerator.process_index :: self.accelerator.num_processes]
            if not mine:  # a last, smaller batch of a bucket
                continue
            batch = self.features.batch(mine, bucket, config=self.config, step=micro)
            if self.config.adapter.dropout:
                torch.manual_seed(generator(self.config.seed, "dropout", micro, mine[0][1]).initial_seed())
            losses = self.losses(batch.to(self.base.device, self.base.dtype))
            loss = losses.sum() / (self.config.batch_size * self.config.accumulation)
            loss.backward()
            total += loss.detach()
        return total

    def _micro_steps(self) -> range:
        """Numbers of the batches of the next step, from 0 at the beginning of the run."""
        return range(self.step * self.config.accumulation, (self.step + 1) * self.config.accumulation)

    def losses(self, batch: Any) -> Tensor:
        """Loss (B,) of each example of a batch on this device."""
        config, model = self.config, (self.base.family, self.base.transformer)
        options: dict[str, Any] = {"guidance": config.guidance, "dtype": self.base.dtype}
        if config.prior == "base":
            batch = with_prior(*model, batch, weight=config.prior_weight, **options)
        return flow_losses(*model, batch, weighting=config.timesteps.weighting, **options)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the running average a little towards the adapter; short runs need a shorter memory."""
        if self.config.ema is not None:
            self.average = self.average or [each.detach().clone() for each in self.parameters]
            decay = min(self.config.ema, (self.step + 1) / (self.step + 10))
            torch._foreach_lerp_(self.average, [each.detach() for each in self.parameters], 1 - decay)

    @torch.no_grad()
    def held_out_loss(self) -> float | None:
        """Mean loss on the held-out pictures, at the same noise levels and noise every time; None without any."""
        weighted = [(float(self.losses(batch.to(self.base.device, self.base.dtype)).sum()), len(batch.names))
                    for batch in self.features.held_out(self.config)]  # fmt: skip
        return sum(loss for loss, _ in weighted) / sum(count for _, count in weighted) if weighted else None

    def recent_loss(self) -> float:
        """Mean training loss of the steps since this was last asked."""
        mean = float(torch.stack(self._losses).mean())
        self._losses.clear()
        return mean

    @torch.no_grad()
    def snapshot(self, metadata: dict[str, str], facts: dict[str, Any]) -> Checkpoint:
        """Everything that `restore` needs."""
        average = {str(place): each.cpu() for place, each in enumerate(self.average or [])}
        state = read_state(self.base.transformer)
        return Checkpoint(self.step, state, metadata, self.optimiser.state_dict(), average, facts, self.best)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        write_state(self.base.transformer, checkpoint.adapter)
        self.optimiser.load_state_dict(checkpoint.optimiser)
        self.step = self.saved = checkpoint.step
        self.best = checkpoint.best
        average = [checkpoint.average[str(place)] for place in range(len(checkpoint.average))]
        self.average = [each.to(self.base.device) for each in average] or None

    def _not_finite(self, loss: float, rate: float) -> TrainingError:
        seen = [each for micro in self._micro_steps() for each in self.features.drawn(self.config, micro)]
        return not_finite(self.step + 1, loss=loss, norm=self.norm, rate=rate, seen=seen, saved=self.saved)
