"""Tiny upscalers with random weights, under the names that published files have."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from workbench.upscale.layout import Layout, compact_shapes, rrdb_shapes


def rrdb(*, doublings: int = 2, unshuffle: int = 1, blocks: int = 2) -> Layout:
    return Layout("rrdb", 2**doublings // unshuffle, 8, 4, blocks, doublings, unshuffle, {})


def compact(*, scale: int = 2, blocks: int = 10) -> Layout:
    return Layout("compact", scale, 8, 0, blocks, 0, 1, {})


def tensors(layout: Layout, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights by our names, large enough for every part to be seen in the result."""
    generator = torch.Generator().manual_seed(seed)
    shapes = rrdb_shapes(layout) if layout.network == "rrdb" else compact_shapes(layout)
    values = {
        name: torch.randn(shape, generator=generator) * (0.1 if len(shape) == 1 else (shape[1] * 9) ** -0.5)
        for name, shape in shapes.items()
    }
    if layout.network == "rrdb":  # about grey, so that few values are cut off
        values["conv_last.bias"] = torch.full((3,), 0.5)
    return values


def first_release(name: str, layout: Layout) -> str:
    """Our name as the first ESRGAN release writes it."""
    stem, _, kind = name.rpartition(".")
    if match := re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)", stem):
        return f"model.1.sub.{match[1]}.RDB{match[2]}.conv{match[3]}.0.{kind}"
    after = 3 * layout.doublings
    places = {"conv_first": "0", "conv_body": f"1.sub.{layout.blocks}", "conv_hr": f"{after + 2}"}
    places |= {"conv_last": f"{after + 4}"} | {f"conv_up{place}": f"{3 * place}" for place in (1, 2, 3)}
    return f"model.{places[stem]}.{kind}"


def paper(name: str, layout: Layout) -> str:
    """Our name as the paper's code, and BSRGAN, write it."""
    stem, _, kind = name.rpartition(".")
    if match := re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)", stem):
        return f"RRDB_trunk.{match[1]}.RDB{match[2]}.conv{match[3]}.{kind}"
    own = {"conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2", "conv_hr": "HRconv"}
    return f"{own.get(stem, stem)}.{kind}"


def save(path: Path, layout: Layout, names: object = None, prefix: str = "", seed: int = 0) -> Path:
    """A file of the layout, its tensors named by `names` (a function of our name and the layout)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rename = names if callable(names) else (lambda name, _: name)
    save_file({prefix + rename(name, layout): value for name, value in tensors(layout, seed).items()}, path)
    return path
