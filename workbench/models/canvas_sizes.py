"""Sizes of a reference that is kept whole: scaled to fit a canvas of whole tokens, never cut. No torch."""

from __future__ import annotations

import math

MIN_SIDE = 64  # pixels of a canvas


def inside(width: int, height: int, max_pixels: int, max_side: int, multiple: int) -> tuple[int, int]:
    """The size to which a picture is scaled so that its canvas fits, as `Flux3ImageProcessor` finds it.

    Rounding the sides up to whole tokens may exceed the area that the picture itself fits, so the scale is backed off
    by half a percent until the canvas fits.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        max_pixels: largest area of the canvas.
        max_side: longest side of the canvas.
        multiple: of what the canvas's sides are.
    """
    scale = min(1.0, math.sqrt(max_pixels / (width * height)), max_side / max(width, height))
    while True:
        sides = max(1, round(width * scale)), max(1, round(height * scale))
        across, down = (_canvas_side(side, max_side, multiple) for side in sides)
        if across * down <= max_pixels:
            return sides
        scale *= 0.995


def on_canvas(width: int, height: int, max_pixels: int, max_side: int, multiple: int) -> tuple[int, int]:
    """The size of the canvas of a picture; arguments as `inside`."""
    across, down = inside(width, height, max_pixels, max_side, multiple)
    return _canvas_side(across, max_side, multiple), _canvas_side(down, max_side, multiple)


def _canvas_side(side: int, max_side: int, multiple: int) -> int:
    return min(max_side, max(MIN_SIDE, -(-side // multiple) * multiple))
