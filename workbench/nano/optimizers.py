"""Muon for the matrices inside blocks, dealt out between workers, and AdamW for everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

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
