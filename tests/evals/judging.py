"""Scenes, damage and lies for the tests of the judge. The renderer is the ground truth here, and only here."""

from __future__ import annotations

import dataclasses
import io
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from workbench.nano.render import render
from workbench.nano.scenes import BACKGROUNDS, COLOURS, NUMBERS, RELATIONS, SHAPES, Item, Scene, sample_scene

Pixels = NDArray[np.uint8]


def scenes(count: int, *, seed: int, kinds: tuple[str, ...] = ("single", "relation", "count")) -> list[Scene]:
    rng = Random(seed)
    return [sample_scene(rng, kind=kinds[index % len(kinds)]) for index in range(count)]  # type: ignore[arg-type]


def damaged(picture: Pixels, seed: int) -> Pixels:
    """`picture` blurred (sigma up to 1 pixel), noisy (sigma up to 8 levels) and saved as JPEG of quality 70."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(rng.uniform(0, 1)))
    noisy = np.asarray(soft) + rng.normal(0, rng.uniform(0, 8), picture.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=70)
    return np.asarray(Image.open(file).convert("RGB"))


LIES = ("background", "colour", "shape", "relation", "number", "extra", "missing", "both")


def lie(scene: Scene, how: str, rng: Random) -> tuple[Pixels, str] | None:
    """A picture and a prompt that it does not show; None where `how` does not apply to the kind of scene."""
    items, prompt = list(scene.items), scene.prompt
    which = rng.randrange(len(items))
    item = items[which]
    match how:
        case "background":
            taken = {scene.background, *(each.colour for each in items)}
            scene = dataclasses.replace(scene, background=rng.choice([b for b in BACKGROUNDS if b not in taken]))
        case "colour":
            others = [name for name in COLOURS if name not in (item.colour, scene.background)]
            items[which] = dataclasses.replace(item, colour=rng.choice(others))
        case "shape":
            items[which] = dataclasses.replace(item, shape=rng.choice([s for s in SHAPES if s != item.shape]))
        case "relation" | "both":
            items = _swapped(scene, how)
            if not items:
                return None
        case "number":
            true = len(items)
            if scene.kind != "count" or true == 1:  # "one circle" is no plural
                return None
            other = rng.choice([n for n in NUMBERS if n not in (1, true)])
            prompt = prompt.replace(NUMBERS[true], NUMBERS[other])
        case "extra":
            spot = _free_spot(items, rng)
            if spot is None:
                return None
            items.append(dataclasses.replace(item, x=spot[0], y=spot[1], radius=0.11))
        case "missing":
            if len(items) == 1:
                return None
            del items[which]
    return render(dataclasses.replace(scene, items=tuple(items))), prompt


def _swapped(scene: Scene, how: str) -> list[Item]:
    """The two objects with their places ("relation") or their shapes ("both") exchanged; empty where nothing changes."""
    if scene.kind != "relation":
        return []
    a, b = scene.items
    if how == "both":
        alike = a.shape == b.shape or a.colour == b.colour
        return [] if alike else [dataclasses.replace(a, shape=b.shape), dataclasses.replace(b, shape=a.shape)]
    if scene.relation not in RELATIONS or (a.colour, a.shape) == (b.colour, b.shape):
        return []
    return [dataclasses.replace(a, x=b.x, y=b.y), dataclasses.replace(b, x=a.x, y=a.y)]


def _free_spot(items: list[Item], rng: Random) -> tuple[float, float] | None:
    for _ in range(200):
        x, y = rng.uniform(0.14, 0.86), rng.uniform(0.14, 0.86)
        if all(max(abs(x - item.x), abs(y - item.y)) > item.radius + 0.15 for item in items):
            return x, y
    return None
