"""Muon for matrices and convolutions, dealt out between workers or not, AdamW for everything else, and the rate of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Optimizers = tuple[torch.optim.Optimizer, ...]


@dataclass(frozen=True)
class Parameters:
    """What is trained: the matrices inside blocks, split evenly between workers for Muon, and everything else for AdamW."""

    matrices: list[list[nn.Parameter]]  # one list a worker
    rest: list[nn.Parameter]

    @classmethod
    def of(cls, model: nn.Module, workers: int) -> Parameters:
        """Split `model`'s parameters; the largest matrices are dealt out first."""
        inside: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            (inside if parameter.ndim == 2 and ("blocks." in name or ".layers." in name) else rest).append(parameter)
        inside.sort(key=lambda parameter: parameter.numel(), reverse=True)
        return cls([inside[number::workers] for number in range(workers)], rest)

    @property
    def all(self) -> list[nn.Parameter]:
        """Every parameter, in a fixed order."""
        return [parameter for part in self.matrices for parameter in part] + self.rest


def optimizers_for(matrices: list[nn.Parameter], rest: list[nn.Parameter], config: dict[str, Any]) -> Optimizers:
    """Muon (Jordan et al. 2024) for matrices, AdamW for embeddings, modulation, norms and the outer projections."""
    decay = config["weight_decay"]
    return (
        torch.optim.Muon(matrices, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=decay),
    )


def schedule(step: int, settings: dict[str, Any]) -> float:
    """Share of the full learning rate at `step`: linear up, flat, linear down to zero at the end."""
    up, down = step / settings["warmup_steps"], (settings["steps"] - step + 1) / settings["decay_steps"]
    return float(min(1.0, up, down))


class ConvolutionMuon:
    """Muon for the convolutions and matrices of a network, each as the matrix (out, everything else), AdamW for the rest.

    Muon was made for convolutional networks (Jordan et al. 2024, after their CIFAR-10 record), but torch's takes matrices
    alone: it is given views of the weights. First and last layers, which meet pixels and latents, stay with AdamW.

    Args:
        model: parameters in channels-last memory, so that a convolution's weight is a matrix without a copy.
        weight_decay: of both.
    """

    def __init__(self, model: nn.Module, weight_decay: float) -> None:
        named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        inner = [
            name
            for name, parameter in named.items()
            if parameter.ndim >= 2 and not any(outer in name for outer in ("conv_in", "conv_out", "quant_conv"))
        ]
        self.parameters = list(named.values())
        self._weights = [named[name] for name in inner]
        self._matrices = [nn.Parameter(as_matrix(weight.data)) for weight in self._weights]
        rest = [parameter for name, parameter in named.items() if name not in inner]
        self.optimizers: Optimizers = (
            torch.optim.Muon(self._matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=weight_decay),
        )

    def step(self, learning_rate: float) -> None:
        """Move all parameters along their gradients, which stay as they are."""
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = as_matrix(weight.grad) if weight.grad is not None else None
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = learning_rate
            optimizer.step()


def as_matrix(weight: Tensor) -> Tensor:
    """(out, in, height, width) as (out, height * width * in), in channels-last memory without a copy; a matrix as it is."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1) if weight.ndim == 4 else weight
