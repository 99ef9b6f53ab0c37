"""The flow-matching loss: predict the velocity from the picture to the noise.

    z = (1 - s) x + s e        v = e - x        loss = mean over examples of w(s) * mean((v' - v)^2)

Source: Lipman et al. 2023; Esser et al. 2024 (weights). Equal, with its gradients, to the formulas in the training
scripts of diffusers, given the same x, e and s; the error is taken on packed tokens, which only changes their order.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from finetune.batch import Batch
from finetune.config import WeightingKind
from finetune.families import TrainFamily


def noisy_latents(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """(B, N, C) between picture and noise, in float32."""
    s = sigma[:, None, None]  # (B, 1, 1)
    return (1.0 - s) * clean + s * noise


def loss_weights(sigma: Tensor, kind: WeightingKind) -> Tensor:
    """Weight (B,) of each example by its noise level.

    'sigma_sqrt' is s^-2 and 'cosmap' is 2 / (pi (1 - 2 s + 2 s^2)), as `compute_loss_weighting_for_sd3` of diffusers.
    """
    if kind == "sigma_sqrt":
        return sigma**-2.0
    if kind == "cosmap":
        return 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2))
    return torch.ones_like(sigma)


def example_losses(velocity: Tensor, batch: Batch, weighting: WeightingKind) -> Tensor:
    """Loss (B,) of each example, in float32.

    Args:
        velocity: the transformer's answer (B, N, C).
        batch: what it answered to. With a mask, the mean is taken over tokens in proportion to it.
        weighting: by noise level.
    """
    target = batch.noise - batch.clean if batch.target is None else batch.target
    error = (velocity.float() - target).square()  # (B, N, C)
    if batch.mask is None:
        each = error.flatten(1).mean(dim=1)
    else:
        each = (error.mean(dim=2) * batch.mask).sum(dim=1) / batch.mask.sum(dim=1).clamp_min(1e-6)
    return each * loss_weights(batch.sigma, weighting) * batch.weight


def flow_losses(
    family: TrainFamily,
    transformer: Any,
    batch: Batch,
    *,
    guidance: float = 1.0,
    weighting: WeightingKind = "none",
    dtype: torch.dtype = torch.float32,
    call: Any = None,
) -> Tensor:
    """Loss (B,) of each example of `batch`; their mean is the loss of a step.

    Args:
        family: how the transformer is called.
        transformer: the bare model, for its configuration.
        batch: on the transformer's device.
        guidance: embedded guidance, where the model has one.
        weighting: by noise level.
        dtype: precision of the noisy latents that the transformer is given.
        call: what is called instead of `transformer`, such as its distributed or compiled form.
    """
    noisy = noisy_latents(batch.clean, batch.noise, batch.sigma).to(dtype)
    model = transformer if call is None else _Configured(call, transformer.config)
    velocity = family.velocity(model, noisy, batch.sigma, batch, guidance)
    return example_losses(velocity, batch, weighting)


class _Configured:
    """A wrapper of the transformer, with the transformer's configuration."""

    def __init__(self, call: Any, config: Any) -> None:
        self._call, self.config = call, config

    def __call__(self, **inputs: Any) -> Any:
        return self._call(**inputs)
