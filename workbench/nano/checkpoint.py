"""Training state as one safetensors file, replaced atomically: weights, their average and the optimisers' moments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FILE = "state.safetensors"
Modules = Mapping[str, nn.Module]  # by the name of its tensors in the file


def save_checkpoint(folder: Path, modules: Modules, optimizers: Sequence[torch.optim.Optimizer], step: int) -> None:
    """Write the whole state of training after `step` to `folder`; a crash at any moment leaves the old or the new one."""
    tensors: dict[str, Tensor] = {
        f"{part}/{name}": value for part, module in modules.items() for name, value in module.named_parameters()
    }
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{FILE}.tmp"
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary, metadata={"step": str(step)})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(folder / FILE)


def load_checkpoint(folder: Path, modules: Modules, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Restore what `save_checkpoint` wrote and return its step; 0 when there is nothing to resume."""
    path = folder / FILE
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_file(path)
    for part, module in modules.items():
        for name, parameter in module.named_parameters():
            parameter.data.copy_(tensors[f"{part}/{name}"])
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer/{number}/"):
                _, _, index, key = name.split("/")
                state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return step


def load_average(folder: Path, module: nn.Module) -> int:
    """Put the averaged weights of a checkpoint into `module` and return the step they are from."""
    path = folder / FILE
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
        for name, parameter in module.named_parameters():
            parameter.data.copy_(file.get_tensor(f"average/{name}"))
    return step
