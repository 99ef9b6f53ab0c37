"""Measure and wrap text for a figure, in pixels, with the fonts that draw it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

DPI = 128
"""Pixels per inch of a figure; a power of two, so that pixels / DPI * DPI is exact and no row is lost."""

_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "Hiragino Sans",
    "Noto Sans",
)


@dataclass(frozen=True, slots=True)
class Style:
    """How a text looks."""

    size: float  # pixels
    colour: str = "#1f2328"
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Wrapped text and the box it fills, in pixels."""

    lines: tuple[str, ...]
    style: Style
    width: float
    height: float
    step: float  # from baseline to baseline
    ascent: float  # from the top of the box to the first baseline


def wrap(text: str, style: Style, width: float) -> Block:
    """Break `text` into lines of at most `width` pixels: at spaces, and inside a word that is wider than a line.

    Nothing is cut away; a single letter wider than `width` stands alone and sets the width of the block.
    """
    lines: list[str] = []
    for paragraph in text.replace("\t", "    ").splitlines() or [""]:
        lines += _break(paragraph, style, width)
    sizes = [measure(line, style) for line in lines]
    ascent = max(height - descent for _, height, descent in sizes)
    descent = max(descent for *_, descent in sizes)
    step = ascent + descent + math.ceil(0.2 * style.size)
    return Block(
        tuple(lines), style, max(size[0] for size in sizes), step * (len(lines) - 1) + ascent + descent, step, ascent
    )


@lru_cache(maxsize=16384)
def measure(text: str, style: Style) -> tuple[int, int, int]:
    """Width, height and descent of one line; the height is at least that of `lp`.

    Whole pixels: baselines then lie on pixels, where drawing does not move a line by a fraction into its neighbour.
    """
    with quiet():
        width, height, descent = _renderer().get_text_width_height_descent(text or " ", font(style), ismath=False)
        _, least, least_descent = _renderer().get_text_width_height_descent("lp", font(style), ismath=False)
    below = math.ceil(max(descent, least_descent))
    above = math.ceil(max(height - descent, least - least_descent))
    return math.ceil(width), above + below, below


@lru_cache(maxsize=64)
def font(style: Style) -> Any:
    """The font of a style: DejaVu Sans, which matplotlib brings along, then what the machine has for other scripts."""
    from matplotlib.font_manager import FontProperties

    weight = "bold" if style.bold else "normal"
    return FontProperties(family=["DejaVu Sans", *_installed()], weight=weight, size=style.size * 72 / DPI)


@contextmanager
def quiet() -> Iterator[None]:
    """No warning for a letter that no installed font has: matplotlib draws its box with the code instead."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from")
        warnings.filterwarnings("ignore", message=r"(?s)Matplotlib currently does not support")
        yield


def _break(paragraph: str, style: Style, width: float) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in paragraph.split(" "):
        longer = f"{line} {word}" if line else word
        if measure(longer, style)[0] <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while measure(line, style)[0] > width and len(line) > 1:
            fits = _fitting(line, style, width)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line]


def _fitting(word: str, style: Style, width: float) -> int:
    """How many letters of `word` fit, at least one."""
    low, high = 1, len(word) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(word[:middle], style)[0] <= width else (low, middle - 1)
    return low


@cache
def _installed() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    names = {entry.name for entry in fontManager.ttflist}
    return tuple(name for name in _FALLBACKS if name in names)


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, DPI)  # type: ignore[no-untyped-call]  # matplotlib leaves backends unannotated
