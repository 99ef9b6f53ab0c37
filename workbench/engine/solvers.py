"""Steps other than Euler's, as weights of three tensors, so that one batch may hold rows with different noise levels.

A row with velocity v at level s predicts the picture D = x - s * v. Source: Lu et al. 2022, DPM-Solver++ (arXiv
2211.01095), algorithm 2, as `DPMSolverMultistepScheduler` of diffusers with `flow_prediction`: of second order, by the
midpoint, of first order at the start and at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor

TWO_STEP = "dpmpp-2m"
"""The recipe's name of the sampler that looks back by a step."""


def two_step_weights(sigmas: Tensor) -> Tensor:
    """How each next state is made of x, D and the D before it: float32 (steps, 3).

    Args:
        sigmas: noise levels of one row, falling, (steps + 1,), the last one 0.
    """
    level = sigmas.double()
    signal = 1 - level
    clarity = torch.log(signal) - torch.log(level)  # from -inf at level 1 to inf at 0
    gap = clarity[1:] - clarity[:-1]  # of each step
    grown = -signal[1:] * torch.expm1(-gap)
    ratio = torch.zeros_like(gap)
    # 0 at both ends, after a start at level 1, where the gap is infinite, and after levels equal to the last digit
    ratio[1:-1] = torch.where(gap[:-2] > 0, gap[1:-1] / gap[:-2], 0)
    bend = 0.5 * grown * ratio
    return torch.stack([level[1:] / level[:-1], grown + bend, -bend], dim=1).float()


def two_step(weights: Tensor, latents: Tensor, estimate: Tensor, before: Tensor | None) -> Tensor:
    """The next state (B, N, C), float32.

    Args:
        weights: of this step, (B, 3).
        latents: x, float32.
        estimate: D, float32.
        before: D of the step before; None at the first.
    """
    own, new, old = (weights[:, place].view(-1, 1, 1) for place in range(3))
    following = own * latents + new * estimate
    return following if before is None else following + old * before
