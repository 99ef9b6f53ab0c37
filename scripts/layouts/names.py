# ruff: noqa: D103 - tables of names and shapes, read line by line
"""Names and shapes as the tools write them: what a layout is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

Shapes = dict[str, tuple[int, ...]]
PEFT, DOWN = ("lora_A.weight", "lora_B.weight"), ("lora_down.weight", "lora_up.weight")


def meta(kind: Any, *arguments: Any, **options: Any) -> Shapes:
    """Names and shapes of a module's state."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in kind(*arguments, **options).state_dict().items()}


def linear(name: str, rows: int, columns: int, *, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (rows, columns)} | ({f"{name}.bias": (rows,)} if bias else {})


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and name.endswith(".weight") and "embed" not in name and "shared" not in name


def lora(
    modules: Mapping[str, tuple[int, int]], ends: tuple[str, str], *, rank: int = 16, alpha: bool = False
) -> Shapes:
    found: Shapes = {}
    for name, (rows, columns) in modules.items():
        found |= {f"{name}.{ends[0]}": (rank, columns), f"{name}.{ends[1]}": (rows, rank)}
        if alpha:
            found[f"{name}.alpha"] = ()
    return found


def matrices(
    shapes: Shapes, only: str = "blocks.", *, prefix: str = "", flat: bool = False
) -> dict[str, tuple[int, int]]:
    found = {}
    for name, shape in shapes.items():
        if is_matrix(name, shape) and only in name:
            module = name.removesuffix(".weight")
            found[prefix + (module.replace(".", "_") if flat else module)] = (shape[0], shape[1])
    return found
