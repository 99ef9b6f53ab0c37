"""Draw a `Scene` with Pillow: flat colours, antialiased edges, no randomness."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from workbench.nano.scenes import COLOURS, Item, Scene

SUPERSAMPLE = 3  # drawn at three times the size and box-filtered down: smooth edges at under a millisecond


def render(scene: Scene, size: int = 128) -> NDArray[np.uint8]:
    """The picture of `scene` as uint8 sRGB of shape (size, size, 3); `size` is the side in pixels."""
    side = size * SUPERSAMPLE
    image = Image.new("RGB", (side, side), COLOURS[scene.background])
    draw = ImageDraw.Draw(image)
    for item in scene.items:
        if item.text:
            _draw_word(draw, item, side)
        else:
            _draw_shape(draw, item, COLOURS[scene.background], side)
    return np.asarray(image.reduce(SUPERSAMPLE))


def _draw_shape(draw: ImageDraw.ImageDraw, item: Item, background: tuple[int, int, int], side: int) -> None:
    cx, cy, r = item.x * side, item.y * side, item.radius * side
    colour = COLOURS[item.colour]
    if item.shape in ("circle", "ring"):
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)
        if item.shape == "ring":
            hole = 0.55 * r
            draw.ellipse((cx - hole, cy - hole, cx + hole, cy + hole), fill=background)
        return
    draw.polygon([(cx + r * x, cy + r * y) for x, y in _outline(item.shape)], fill=colour)


@cache
def _outline(shape: str) -> tuple[tuple[float, float], ...]:
    """Polygon of a shape inside the square from -1 to 1, y pointing down."""
    match shape:
        case "square":
            return ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85))
        case "triangle":
            return ((0.0, -1.0), (1.0, 0.85), (-1.0, 0.85))
        case "diamond":
            return ((0.0, -1.0), (0.75, 0.0), (0.0, 1.0), (-0.75, 0.0))
        case "star":
            radii = (1.0, 0.42)
            angles = [math.pi * (k / 5 - 0.5) for k in range(10)]
            return tuple((radii[k % 2] * math.cos(a), radii[k % 2] * math.sin(a)) for k, a in enumerate(angles))
        case "cross":
            a = 0.33
            return (
                (-a, -1),
                (a, -1),
                (a, -a),
                (1, -a),
                (1, a),
                (a, a),
                (a, 1),
                (-a, 1),
                (-a, a),
                (-1, a),
                (-1, -a),
                (-a, -a),
            )
        case "heart":
            turns = [2 * math.pi * k / 48 for k in range(48)]
            return tuple(
                (
                    math.sin(t) ** 3,
                    -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
                )
                for t in turns
            )
    raise ValueError(f"no outline for the shape {shape!r}")


def _draw_word(draw: ImageDraw.ImageDraw, item: Item, side: int) -> None:
    width = 2 * item.radius * side
    font = _font(min(round(0.30 * side), _points_for(item.text, width)))
    draw.text((item.x * side, item.y * side), item.text, font=font, fill=COLOURS[item.colour], anchor="mm")


@lru_cache(maxsize=65536)
def _points_for(text: str, width: float) -> int:
    """Largest font size at which `text` is at most `width` pixels wide (widths scale linearly with the size)."""
    return max(8, int(100 * width / _font(100).getlength(text)))


@lru_cache(maxsize=512)
def _font(points: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # its package carries DejaVu, so that no system font decides the pixels

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), points, layout_engine=ImageFont.Layout.BASIC)
