"""Test pictures and the stock pipelines that ours are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from workbench.models import Model


def draw(number: int, width: int, height: int) -> Image.Image:
    """A picture of its own for every number: a gradient with a few hard-edged discs."""
    chance = np.random.default_rng(number)
    down, across = np.mgrid[0:height, 0:width] / max(width, height)
    values = chance.uniform(0, 255, 3) * (1 - down[..., None]) + chance.uniform(0, 255, 3) * across[..., None]
    for _ in range(4):
        centre = chance.uniform(0, 1, 2)
        inside = (down - centre[0]) ** 2 + (across - centre[1]) ** 2 < chance.uniform(0.05, 0.3) ** 2
        values[inside] = chance.uniform(0, 255, 3)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def pipeline(model: Model, cls: str = "Flux2KleinPipeline") -> Any:
    """The stock pipeline of a model, in float32."""
    import diffusers

    pipe = getattr(diffusers, cls).from_pretrained(model.path, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def difference(one: Image.Image | None, other: Image.Image | None) -> int:
    """Largest difference of any value, 0 to 255."""
    assert one is not None
    assert other is not None
    assert one.size == other.size
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())
