"""What the autoencoder is trained on: crops and whole pictures of scenes, many of them words."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from workbench.nano.render import CELL, render
from workbench.nano.scenes import Item, Scene, sample_scene

WHOLE_SIZES = (96, 128, 128, 128, 160, 192)  # pixels
CROPPED_SIZES = (96, 128, 128, 128, 160)
CROPS_OF_A_PICTURE = 2  # a rendered picture is used twice


def sample_views(rng: Random, config: dict[str, Any], share: float) -> Tensor:
    """A batch of one shape, float32 (count, 3, height, width) in -1 to 1: crops, or whole pictures of about as many pixels.

    Crops show each edge in many places at little cost; whole pictures have the group-norm statistics of use.

    Args:
        rng: source of all randomness.
        config: the `vae` section of the recipe.
        share: how much of the batch to draw, 0 to 1.
    """
    pixels = config["batch_pixels"] * share
    if rng.random() < config["whole_pictures"]:
        size = rng.choice(WHOLE_SIZES)
        count = max(1, round(pixels / size**2))
        return to_model(np.stack([render(_some_scene(rng, config), size) for _ in range(count)]))
    crop: int = config["crop"]
    drawn: list[NDArray[np.uint8]] = []
    count = max(1, round(pixels / crop**2))
    while len(drawn) < count:
        scene, size = _some_scene(rng, config), rng.choice(CROPPED_SIZES)
        picture = render(scene, size)
        drawn += [_crop(rng, picture, rng.choice(scene.items), crop) for _ in range(CROPS_OF_A_PICTURE)]
    return to_model(np.stack(drawn[:count]))


def _some_scene(rng: Random, config: dict[str, Any]) -> Scene:
    """A scene of the grammar, often a word, often in random colours: the latents must hold every colour, not twelve."""
    word = rng.random() < config["words"]
    scene = sample_scene(rng, kind="word") if word else sample_scene(rng)
    return recoloured(rng, scene) if rng.random() < config["random_colours"] else scene


def recoloured(rng: Random, scene: Scene) -> Scene:
    """`scene` in random colours."""
    drawn = [f"#{rng.randrange(2**24):06x}" for _ in range(len(scene.items) + 1)]
    items = tuple(replace(item, colour=colour) for item, colour in zip(scene.items, drawn[1:], strict=True))
    return replace(scene, background=drawn[0], items=items)


def _crop(rng: Random, picture: NDArray[np.uint8], item: Item, crop: int) -> NDArray[np.uint8]:
    """(crop, crop, 3) near an item, as a flat background teaches nothing; a word's mostly on the grid of its letters."""
    size = len(picture)
    if item.text:
        reach_x, reach_y = len(item.text) * CELL // 2, CELL
    else:
        reach_x = reach_y = int((item.radius if rng.random() < 0.8 else 1.0) * size)
    x = int(item.x * size) + rng.randint(-reach_x, reach_x) - crop // 2
    y = int(item.y * size) + rng.randint(-reach_y, reach_y) - crop // 2
    if item.text and rng.random() < 0.75:
        x, y = x // CELL * CELL, y // CELL * CELL
    x, y = min(max(x, 0), size - crop), min(max(y, 0), size - crop)
    return picture[y : y + crop, x : x + crop]


def to_model(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 (batch, height, width, 3) to float32 (batch, 3, height, width) in -1 to 1, channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def contrast(pictures: Tensor) -> Tensor:
    """Range of values within a pixel's eight neighbours, 0 to 1 (half of the full range and more): (b, 1, h, w)."""
    highest, lowest = F.max_pool2d(pictures, 3, 1, 1), -F.max_pool2d(-pictures, 3, 1, 1)
    return (highest - lowest).amax(1, keepdim=True).clamp(0, 1)
