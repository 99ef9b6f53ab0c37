"""Draw a `Scene` with Pillow: flat colours, antialiased edges, no randomness."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from workbench.nano.scenes import Item, Scene, rgb

SUPERSAMPLE = 3  # drawn at three times the size and box-filtered down: smooth edges at under a millisecond
CELL = 16  # pixels: a letter's width on pictures of less than 256 px; a token of the transformer spans as much


def render(scene: Scene, width: int = 128, height: int | None = None) -> NDArray[np.uint8]:
    """The picture of `scene` as uint8 sRGB of shape (height, width, 3).

    Args:
        scene: what to draw.
        width: in pixels.
        height: in pixels; None for a square.
    """
    height = height or width
    size = (width * SUPERSAMPLE, height * SUPERSAMPLE)
    background = rgb(scene.background)
    image = Image.new("RGB", size, background)
    draw = ImageDraw.Draw(image)
    for item in scene.items:
        if item.text:
            _draw_word(draw, item, size)
        else:
            _draw_shape(draw, item, background, size)
    return np.asarray(image.reduce(SUPERSAMPLE))


def _draw_shape(draw: ImageDraw.ImageDraw, item: Item, background: tuple[int, int, int], size: tuple[int, int]) -> None:
    cx, cy, r = item.x * size[0], item.y * size[1], item.radius * min(size)
    colour = rgb(item.colour)
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


def _draw_word(draw: ImageDraw.ImageDraw, item: Item, size: tuple[int, int]) -> None:
    """Letters in cells of `CELL` x 2 `CELL` pixels on the grid of the transformer's tokens, as a typewriter sets them."""
    cell = CELL * SUPERSAMPLE * max(1, min(size) // (256 * SUPERSAMPLE) * 2)
    columns = size[0] // cell
    column = (columns - len(item.text)) // 2
    top = round(item.y * size[1] / cell - 1) * cell
    font = _font(cell)
    for place, letter in enumerate(item.text, column):
        draw.text((place * cell, top + 1.4 * cell), letter, font=font, fill=rgb(item.colour), anchor="ls")


@cache
def _font(cell: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans Mono Bold whose letters are `cell` pixels wide."""
    import matplotlib  # its package carries DejaVu, so that no system font decides the pixels

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono-Bold.ttf"
    return ImageFont.truetype(str(path), cell / 0.602, layout_engine=ImageFont.Layout.BASIC)
