"""A comparison as one PNG: the pictures in a row of equal cells, and under them their differences from the first."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from workbench.comparison.difference import LEAST, Difference, difference

CELL = 256  # pixels, the side of a cell
GAP = 8
LINE = 18  # pixels, height of a line of text
INK, FAINT, PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)


def sheet(pictures: Sequence[Image.Image], labels: Sequence[str], cell: int = CELL) -> Image.Image:
    """Draw the sheet.

    Maps of differences share one scale, so that they can be compared with each other; pictures of another size than the
    first have none.

    Args:
        pictures: at least one.
        labels: one for each; cut where they are wider than a cell.
        cell: side of a cell in pixels.
    """
    found: list[Difference | None] = [
        difference(pictures[0], each) if place and each.size == pictures[0].size else None
        for place, each in enumerate(pictures)
    ]
    full = max([LEAST, *(each.largest for each in found if each)])
    rows = 2 if any(found) else 1
    width = len(pictures) * (cell + GAP) + GAP
    page = Image.new("RGB", (width, rows * (cell + LINE + GAP) + GAP), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for place, (picture, label, apart) in enumerate(zip(pictures, labels, found, strict=True)):
        left = GAP + place * (cell + GAP)
        _paste(page, picture.convert("RGB"), left, GAP, cell)
        draw.text((left, GAP + cell + 2), _fit(draw, label, font, cell), INK, font)
        top = 2 * GAP + cell + LINE
        if apart is not None:
            _paste(page, apart.heat_map(full), left, top, cell)
            said = "equal" if apart.largest == 0 else f"{apart.changed:.1%} differ, {apart.psnr:.1f} dB"
            draw.text((left, top + cell + 2), said, FAINT, font)
        elif rows == 2:
            said = f"black 0, white {full} of 255 levels" if not place else "another size"
            draw.text((left, top + cell // 2), said, FAINT, font)
    return page


def _paste(page: Image.Image, picture: Image.Image, left: int, top: int, cell: int) -> None:
    """Fit a picture into a cell, in its middle; small ones grow by whole pixels."""
    if max(picture.size) * 2 <= cell:
        times = cell // max(picture.size)
        picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    picture = picture.copy()
    picture.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    page.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))


def _fit(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    text = " ".join(text.split())
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…"
