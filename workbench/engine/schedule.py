"""Noise levels of a run, as the FLUX pipelines of diffusers set them.

The scheduler class of diffusers turns evenly spaced levels into shifted ones; the shift `mu` grows with the number of
picture tokens and of steps when the scheduler's configuration asks for a dynamic shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from workbench.errors import SchedulerError
from workbench.recipe.solvers import Spacing


def empirical_mu(tokens: int, steps: int) -> float:
    """The logarithm of the time shift for a picture of `tokens` tokens in `steps` steps.

    Two straight lines in the number of tokens, fitted for 10 and for 200 steps, with linear interpolation between; past
    4300 tokens the second holds for all. Source: `compute_empirical_mu` in diffusers' FLUX.2 pipelines.
    """
    at_200 = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return float(at_200)
    at_10 = 8.73809524e-05 * tokens + 1.89833333
    slope = (at_200 - at_10) / 190.0
    return float(slope * steps + (at_200 - 200.0 * slope))


def noise_levels(
    config: dict[str, Any],
    tokens: int,
    steps: int,
    *,
    shift: float | None = None,
    sigmas: Sequence[float] | None = None,
    mu: float | None = None,
    spacing: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Timesteps and noise levels of one run.

    Args:
        config: the configuration of a `FlowMatchEulerDiscreteScheduler`.
        tokens: picture tokens, (height / 16) * (width / 16).
        steps: denoising steps, 1 or more.
        shift: instead of the configuration's shift, the same for all sizes: level s becomes
            shift * s / (1 + (shift - 1) * s) (Esser et al. 2024, equation 23).
        sigmas: `steps` noise levels before the shift, instead of even ones.
        mu: logarithm of the dynamic shift; None: that of FLUX.2, `empirical_mu`.
        spacing: between the highest and the lowest of the shifted levels: karras (Karras et al. 2022, rho 7),
            exponential, or beta (Lee et al. 2024, both parameters 0.6); None: the configuration's, else as shifted.

    Returns:
        Timesteps (steps,), 0 to 1000, and sigmas (steps + 1,), 1 to 0, the last one the end; both float32 on the CPU.

    Raises:
        SchedulerError: a spacing for which a package is missing.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    own: dict[str, Any] = {} if shift is None else {"use_dynamic_shifting": False, "shift": shift}
    if spacing is not None:
        own |= {f"use_{name}_sigmas": name == spacing for name in get_args(Spacing)}
    if spacing == "beta" and find_spec("scipy") is None:
        raise SchedulerError("The schedule beta needs scipy.", "pip install scipy")
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config, **own)
    levels: Any = sigmas
    if sigmas is None and not config.get("use_flow_sigmas"):
        levels = np.linspace(1.0, 1 / steps, steps)
    mu = empirical_mu(tokens, steps) if mu is None else mu
    scheduler.set_timesteps(
        num_inference_steps=steps, sigmas=None if levels is None else np.asarray(levels), mu=mu, device="cpu"
    )
    return scheduler.timesteps.to(torch.float32), scheduler.sigmas.to(torch.float32)
