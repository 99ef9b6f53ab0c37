"""The labelled grid as a matplotlib figure, and as a PNG that can be run again.

All pictures are pasted into one canvas that fills the figure pixel by pixel, so nothing is ever interpolated; matplotlib
draws the texts over it. No pyplot, so no global state and no display.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from workbench.errors import GridError
from workbench.grid.caption import caption
from workbench.grid.layout import Label, Layout, Only, Slot, arrange, choose
from workbench.grid.text import DPI, Style, font, quiet, wrap

if TYPE_CHECKING:
    from workbench.grid.result import GridResult

_EDGE, _RULE = "#e3e6ea", "#afb8c1"
_HOLE, _HOLE_LINE, _QUIET = "#f6f8fa", "#d8dee4", Style(12, "#8c959f")
_FAILED, _FAILED_LINE, _LOUD = "#ffebe9", "#cf222e", Style(12, "#a40e26")


class GridFigure(Figure):
    """A figure that notebooks show at its own pixels."""

    def _repr_png_(self) -> bytes:
        return _encode(self, None)


def draw(result: GridResult, *, only: Only | None = None, zoom: int | None = None) -> GridFigure:
    """Draw a grid: labels that are never cut, pictures at 1:1 or a whole multiple, seeds of a cell side by side.

    Args:
        result: of a run; pictures that are not done are drawn as named boxes, holes with a diagonal.
        only: axis titles with the values to show.
        zoom: screen pixels per picture pixel; None enlarges small pictures as far as the size limit allows.

    Raises:
        GridError: too large even at zoom 1, or an unknown axis or value in `only`.
    """
    layout = _arrange(result, only, zoom)
    canvas = Image.new("RGB", (layout.width, layout.height), "white")
    pen = ImageDraw.Draw(canvas)
    for rule in layout.rules:
        pen.line(rule, fill=_RULE, width=max(1, round(layout.scale)))
    labels = list(layout.labels)
    for slot in layout.slots:
        # A hairline around each picture, outside its pixels, so that a white picture has an edge.
        pen.rectangle((slot.x - 1, slot.y - 1, slot.x + slot.width, slot.y + slot.height), outline=_EDGE)
        labels += _fill(canvas, slot, result, layout)
    figure = GridFigure(figsize=(layout.width / DPI, layout.height / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(np.asarray(canvas), extent=(0, layout.width, layout.height, 0), interpolation="none", aspect="auto")
    axes.set_xlim(0, layout.width)
    axes.set_ylim(layout.height, 0)
    for label in labels:
        for x, y, line in _lines(label):
            style = label.block.style
            axes.text(
                x,
                y,
                line,
                fontproperties=font(style),
                color=style.colour,
                ha=label.align,
                va="baseline",
                parse_math=False,  # a dollar sign in a prompt is a dollar sign
            )
    return figure


def save(result: GridResult, path: Path, *, only: Only | None = None, zoom: int | None = None) -> Path:
    """Write the figure as a PNG whose text chunk holds the grid's YAML.

    Raises:
        GridError: as `draw`.
        StoreError: the file cannot be written.
    """
    from workbench.store import write_atomically

    write_atomically(path, _encode(draw(result, only=only, zoom=zoom), result))
    return path


def pages(result: GridResult) -> list[dict[str, Any]]:
    """The parts, each an `only`, into which a grid is cut so that every figure stays within the size limits.

    One empty part where it fits whole. Otherwise the longest axis is halved until all parts fit.

    Raises:
        GridError: a single cell is too large.
    """
    return [
        {
            dimension.title: [dimension.labels[place] for place in places]
            for dimension, places in zip(result.plan.dimensions, shown, strict=True)
            if len(places) < len(dimension)
        }
        for shown in _parts(result, choose(result.plan, None))
    ]


def _parts(result: GridResult, shown: tuple[tuple[int, ...], ...]) -> Iterator[tuple[tuple[int, ...], ...]]:
    only = {
        dimension.title: [dimension.labels[place] for place in places]
        for dimension, places in zip(result.plan.dimensions, shown, strict=True)
    }
    try:
        _arrange(result, only, None)
        yield shown
    except GridError:
        longest = max(range(len(shown)), key=lambda axis: len(shown[axis]))
        if len(shown[longest]) == 1:
            raise
        half = (len(shown[longest]) + 1) // 2
        for part in (shown[longest][:half], shown[longest][half:]):
            yield from _parts(result, (*shown[:longest], part, *shown[longest + 1 :]))


def _arrange(result: GridResult, only: Only | None, zoom: int | None) -> Layout:
    return arrange(result.plan, title=result.plan.title, caption=caption(result.plan), only=only, zoom=zoom)


def _lines(label: Label) -> Iterator[tuple[float, float, str]]:
    """(x, baseline, text) of each line."""
    baseline = round(label.y) + label.block.ascent
    for number, line in enumerate(label.block.lines):
        yield label.x, baseline + number * label.block.step, line


def _fill(canvas: Image.Image, slot: Slot, result: GridResult, layout: Layout) -> list[Label]:
    """Paste the picture of a slot, or draw a box; returns the words in the box."""
    if slot.seed is None:
        return _box(canvas, slot, layout.scale, "skipped", diagonal=True)
    shot = result.shots[slot.cell.index, slot.seed]
    if shot.status == "failed":
        return _box(canvas, slot, layout.scale, f"Failed: {shot.error}", failed=True)
    if shot.status == "pending":
        return _box(canvas, slot, layout.scale, "not run")
    picture = result.picture(shot).convert("RGB")
    if layout.zoom > 1:
        size = (picture.width * layout.zoom, picture.height * layout.zoom)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    canvas.paste(picture, (slot.x, slot.y))
    return []


def _box(
    canvas: Image.Image, slot: Slot, scale: float, text: str, *, failed: bool = False, diagonal: bool = False
) -> list[Label]:
    """A named box; the text is shortened to what fits, because the page and the table have it whole."""
    pen = ImageDraw.Draw(canvas)
    fill, line, style = (_FAILED, _FAILED_LINE, _LOUD) if failed else (_HOLE, _HOLE_LINE, _QUIET)
    style = replace(style, size=round(style.size * scale))
    corners = (slot.x, slot.y, slot.x + slot.width - 1, slot.y + slot.height - 1)
    pen.rectangle(corners, fill=fill, outline=line)
    if diagonal:
        pen.line((corners[0], corners[3], corners[2], corners[1]), fill=line)
    room_x, room_y = slot.width - 12, slot.height - 12
    block = wrap(text, style, room_x)
    if block.height > room_y:
        rows = int((room_y - block.ascent) / block.step)
        if rows < 1:
            return []
        shortened = " ".join(block.lines[:rows])
        while shortened and wrap(f"{shortened}…", style, room_x).height > room_y:
            shortened = shortened[:-1]
        block = wrap(f"{shortened}…", style, room_x)
    if block.width > room_x or block.height > room_y:
        return []
    x, y = slot.x + slot.width / 2, slot.y + (slot.height - block.height) / 2
    if diagonal:  # the words interrupt the line
        pen.rectangle((x - block.width / 2 - 4, y - 3, x + block.width / 2 + 4, y + block.height + 3), fill=fill)
    return [Label(block, x, y, "center")]


def _encode(figure: Figure, result: GridResult | None) -> bytes:
    from workbench import __version__
    from workbench.grid.grid import PNG_KEY

    agg = FigureCanvasAgg(figure)
    with quiet():
        agg.draw()  # type: ignore[no-untyped-call]  # matplotlib leaves backends unannotated
    info = PngInfo()
    info.add_text("Software", f"flux-workbench {__version__}")
    if result is not None:
        info.add_itxt(PNG_KEY, result.grid.to_yaml())
    buffer = io.BytesIO()
    pixels = np.asarray(agg.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
