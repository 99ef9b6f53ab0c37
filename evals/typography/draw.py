"""Render texts with the fonts that come with matplotlib: the pictures of the baselines and of the ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

from evals.typography.ask import AskedTextError

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono", "DejaVuSans-Oblique")
COLOURS = (  # ink, paper; sRGB
    ("#101010", "#ffffff"),
    ("#ffffff", "#1b2a49"),
    ("#8b1a1a", "#f4ecd8"),
    ("#f7d154", "#202020"),
    ("#1d5c3a", "#e8f0e4"),
    ("#4a4a4a", "#d9d9d9"),
)
LEAST_LETTER, MOST_LETTER = 9, 160  # pixels of the font's size
LINE = 1.2  # of the font's size: the height of a line with its descenders
GAP = 0.15  # of the font's size between lines of one text
MARGIN = 0.05  # of the picture around each text's field


def page(
    texts: Sequence[str],
    *,
    width: int = 512,
    height: int = 512,
    seed: int = 0,
    font: str | None = None,
    letter: int | None = None,
) -> Image.Image:
    """A picture with each text in a field of its own, from top to bottom, wrapped at its words.

    Args:
        texts: what to write; none gives a plain page.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        seed: decides colours, font and places.
        font: one of `FONTS`; default: by the seed.
        letter: size of the letters in pixels; default: the largest that fits, up to 160.

    Raises:
        AskedTextError: a text does not fit at the smallest size, or the font has no glyphs for it.
    """
    rng = Random(f"page {seed}")  # noqa: S311  # no cryptography
    ink, paper = rng.choice(COLOURS)
    name = font or rng.choice(FONTS)
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    for place, text in enumerate(texts):
        top, bottom = (round(height * (place + side) / len(texts)) for side in (0, 1))
        _write(draw, text, (0, top, width, bottom), _Style(name, ink, letter), rng)
    return image


@dataclass(frozen=True, slots=True)
class _Style:
    font: str
    ink: str
    letter: int | None  # size in pixels; None: the largest that fits


def _write(draw: ImageDraw.ImageDraw, text: str, field: tuple[int, int, int, int], style: _Style, rng: Random) -> None:
    left, top, right, bottom = field
    font, ink = style.font, style.ink
    room = ((right - left) * (1 - 2 * MARGIN), (bottom - top) * (1 - 2 * MARGIN))
    if lacking := sorted({sign for sign in text if not has_glyph(font, sign)}):
        raise AskedTextError(f"The font {font} has no glyph for {' '.join(lacking)}.", "Give a text in Latin letters.")
    sizes = [style.letter] if style.letter else range(min(MOST_LETTER, int(room[1])), LEAST_LETTER - 1, -1)
    for size in sizes:
        lines = _wrapped(text, size, font, room[0])
        across = max(_loaded(font, size).getlength(line) for line in lines)
        down = size * (len(lines) * (LINE + GAP) - GAP)
        if across <= room[0] and down <= room[1]:
            break
    else:
        raise AskedTextError(
            f"The text {text[:40]!r} does not fit on {right - left} x {bottom - top} pixels.", "Enlarge it."
        )
    x = left + (right - left) * MARGIN + rng.random() * (room[0] - across)
    y = top + (bottom - top) * MARGIN + rng.random() * (room[1] - down)
    for line in lines:
        draw.text((x, y), line, ink, _loaded(font, size), anchor="la")
        y += size * (LINE + GAP)


def _wrapped(text: str, size: int, font: str, room: float) -> list[str]:
    """The words of a text in lines no wider than `room` pixels, a longer word on a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and _loaded(font, size).getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def has_glyph(font: str, sign: str) -> bool:
    """Whether a font draws a character by a glyph of its own."""
    return sign.isspace() or ord(sign) in _characters(font)


@lru_cache(maxsize=len(FONTS))
def _characters(font: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_path(font))).get_charmap())


@lru_cache(maxsize=256)
def _loaded(font: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_path(font), size)


def _path(font: str) -> Path:
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
