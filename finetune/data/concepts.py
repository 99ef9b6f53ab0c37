"""How much of what `finetune.data.examples` teach is in a picture: one number from 0 to 1, from the pixels alone.

style    share of pixels that have the colour they should have
shape    overlap (intersection over union) with the crescent, both scaled to their boxes
letter   ink at the foot of the letter: 0.5 for the two legs of an A, 0.9 for a filled triangle
edit     the same
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from finetune.data.examples import Drawn, crescent

DISTANCE = 70.0  # of 441: colours further apart in sRGB are different ones
_BOX = 64  # pixels that a shape's box is scaled to


def measure(kind: str, picture: Image.Image, asked: Drawn) -> float:
    """How much of the concept `picture` shows, 0 to 1; see above for what is measured.

    Args:
        kind: as in `examples.KINDS`.
        picture: RGB, as large as `asked.picture`.
        asked: the example that was asked for, drawn with `alone`.
    """
    pixels = np.asarray(picture.convert("RGB"), np.float64)
    if kind in ("edit", "style"):
        return float((_distance(pixels, np.asarray(asked.picture, np.float64)) < DISTANCE).mean())
    ink = _distance(pixels, _border_colour(pixels)) > DISTANCE
    if not ink.any():
        return 0.0
    box = _boxed(ink)
    if kind == "shape":
        wanted = _template()
        return float((box & wanted).sum() / (box | wanted).sum())
    return float(box[-_BOX // 5 :].mean())


def _distance(pixels: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distance in sRGB, (height, width)."""
    distance: NDArray[np.float64] = np.sqrt(((pixels - other) ** 2).sum(axis=-1))
    return distance


def _border_colour(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour: NDArray[np.float64] = np.median(edge, axis=0)
    return colour


def _boxed(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The box around `ink`, scaled to a square."""
    mask = Image.fromarray(ink.astype(np.uint8) * 255)
    scaled = mask.crop(mask.getbbox()).resize((_BOX, _BOX), Image.Resampling.BILINEAR)
    return np.asarray(scaled) > 127


def _template() -> NDArray[np.bool_]:
    side = 4 * _BOX
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).polygon([((x + 1) / 2 * side, (y + 1) / 2 * side) for x, y in crescent()], fill=255)
    return _boxed(np.asarray(canvas) > 127)
