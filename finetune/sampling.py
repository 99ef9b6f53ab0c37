"""Stateless randomness: every draw is a function of (seed, what it is for, step, place in the batch).

Nothing random is kept between steps, so a resumed run, a run on another device and a run split over processes all see
the same noise. Draws are made on the CPU in float32.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from finetune.config import TimestepConfig


def generator(seed: int, *key: object) -> torch.Generator:
    """A generator of its own for `key`."""
    digest = hashlib.sha256(repr((seed, *key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shift_mu(tokens: int) -> float:
    """The logarithm of the time shift: 0.5 at 256 picture tokens, 1.15 at 4096, a straight line between and beyond."""
    return 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)


def draw_sigma(config: TimestepConfig, tokens: int, random: torch.Generator) -> Tensor:
    """One noise level, float32 (), above 0 and below 1.

    Sources: Esser et al. 2024 (logit-normal, mode); the resolution shift of FLUX's own schedule, by the number of
    picture tokens, (height / 16) * (width / 16).
    """
    if config.kind in ("uniform", "mode"):
        u = torch.rand((), generator=random)
        if config.kind == "mode":
            u = 1 - u - config.mode_scale * (torch.cos(math.pi * u / 2) ** 2 - 1 + u)
    else:
        u = torch.sigmoid(config.mean + config.std * torch.randn((), generator=random))
        factor = {"logit_normal_shift": math.exp(shift_mu(tokens)), "shift": config.shift}.get(config.kind, 1.0)
        u = factor * u / (1 + (factor - 1) * u)
    return u.clamp(1e-4, 1 - 1e-4)


def fixed_levels(count: int) -> list[float]:
    """The middles of `count` equal parts of 0 to 1."""
    return [(place + 0.5) / count for place in range(count)]


def permutation(seed: int, size: int, *key: object) -> list[int]:
    """An order of `size` things, its own for every key."""
    order: list[int] = torch.randperm(size, generator=generator(seed, "order", *key)).tolist()
    return order
