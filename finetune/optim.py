"""Optimisers from torch and well-kept packages, and the learning rate as a function of the step."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from finetune.config import OptimiserConfig, TrainConfig, TrainConfigError


def make_optimiser(config: OptimiserConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser that the configuration names.

    Raises:
        TrainConfigError: its package is not installed.
    """
    parameters = list(parameters)
    common: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    moments = {**common, "betas": (config.beta1, config.beta2), "eps": config.epsilon}
    if config.kind == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **moments)
    if config.kind == "adafactor":
        return torch.optim.Adafactor(parameters, **common)
    if config.kind == "prodigy":
        prodigy = _package("prodigyopt", "prodigyopt").Prodigy
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a line about weight decay
            optimiser: torch.optim.Optimizer = prodigy(parameters, safeguard_warmup=True, **moments)
        return optimiser
    return _package("bitsandbytes", "bitsandbytes").optim.AdamW8bit(parameters, **moments)  # type: ignore[no-any-return]


def _package(module: str, name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise TrainConfigError(
            f"The optimiser needs the package {name}, which is not installed.", f"Install it: pip install {name}."
        ) from None


def learning_rate(config: TrainConfig, step: int) -> float:
    """The learning rate of optimiser step `step`, 1 to `config.steps`: no state, so nothing to save.

    It rises evenly over the warm-up; then it stays, or falls to 0 at the end as a half cosine or a line.
    """
    peak, warmup = config.optimiser.learning_rate, config.warmup
    if step <= warmup:
        return peak * step / warmup
    done = (step - warmup - 1) / max(1, config.steps - warmup)
    if config.schedule.kind == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule.kind == "linear":
        return peak * (1 - done)
    return peak


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` for all parameters in the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def clip_gradients(parameters: Sequence[nn.Parameter], largest: float) -> Tensor:
    """Scale all gradients, in place, to a norm of at most `largest`; the norm () that they had.

    As `torch.nn.utils.clip_grad_norm_`, but gradients that are small enough are not multiplied by 1.
    """
    gradients = [each.grad for each in parameters if each.grad is not None]
    norm = nn.utils.get_total_norm(gradients, foreach=True)
    if float(norm) > largest:
        nn.utils.clip_grads_with_norm_(parameters, largest, norm, foreach=True)
    return norm
