"""Where everything of a grid figure goes, in pixels; no drawing here.

The first axis is columns, the second rows, the third groups the columns, the fourth the rows, and so on. Margins, columns
and rows grow until every label fits; pictures keep their own pixels, times a whole number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from workbench.errors import GridError, nearest
from workbench.grid.plan import Cell, Plan
from workbench.grid.text import Block, Style, wrap

MAX_PIXELS = 50_000_000
MAX_SIDE = 30_000  # many viewers and the PNG-to-texture path of browsers stop at 32,767
COMFORTABLE = 256  # without a zoom of its own, a small picture is enlarged up to this side

MARGIN, GAP, GROUP_GAP, SEED_GAP, LABEL_GAP = 28, 10, 18, 2, 10
SEEDS_ACROSS = 4
MIN_LABEL, ROW_LABEL, MIN_WIDTH = 96.0, 200.0, 440
USUAL_WIDTH = 1000  # a wider figure is looked at from further away, so its texts grow with it, up to twice

TITLE = Style(21, bold=True)
AXIS = Style(12, "#6e7781")
LABEL = Style(14)
GROUP = Style(14, bold=True)
CAPTION = Style(12, "#57606a")

Align = Literal["left", "center", "right"]
Only = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Label:
    """A block of text; `x` is its left edge, centre or right edge as `align` says, `y` its top, in pixels."""

    block: Block
    x: float
    y: float
    align: Align = "left"


@dataclass(frozen=True, slots=True)
class Slot:
    """The box of one seed in a cell, in pixels; a hole has one slot with no seed."""

    cell: Cell
    seed: int | None
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Layout:
    """A figure: its size in pixels, its texts and its picture boxes."""

    width: int
    height: int
    zoom: int
    labels: tuple[Label, ...]
    slots: tuple[Slot, ...]
    rules: tuple[tuple[int, int, int, int], ...]  # thin lines that span groups: (left, top, right, bottom)
    scale: float  # of all texts, 1 to 2


def arrange(plan: Plan, *, title: str, caption: str, only: Only | None = None, zoom: int | None = None) -> Layout:
    """Lay out a resolved plan.

    Args:
        plan: resolved, so that every picture's size is known.
        title: above everything; empty for none.
        caption: below everything.
        only: axis titles with the values to show; other axes are shown whole.
        zoom: screen pixels per picture pixel; None enlarges small pictures as far as the limits allow.

    Raises:
        GridError: too large even at zoom 1; an unknown axis or value in `only`.
    """
    shown = choose(plan, only)
    largest = max((max(_size(cell)) for cell in plan.cells if not cell.skipped), default=COMFORTABLE)
    zooms = [zoom] if zoom else range(max(1, COMFORTABLE // largest), 0, -1)
    for factor in zooms:
        layout = _Table(plan, shown, factor).layout(title, caption)
        if layout.width * layout.height <= MAX_PIXELS and max(layout.width, layout.height) <= MAX_SIDE:
            return layout
    raise GridError(
        f"The figure would be {layout.width:,} × {layout.height:,} pixels, more than a picture viewer opens.",
        "Show a part with only={'AXIS': [VALUES]}, write the HTML page, or use save(), which writes several figures.",
    )


def choose(plan: Plan, only: Only | None) -> tuple[tuple[int, ...], ...]:
    """The places shown on each axis.

    Raises:
        GridError: an unknown axis or value, or nothing left.
    """
    titles = [dimension.title for dimension in plan.dimensions]
    shown = [tuple(range(len(dimension))) for dimension in plan.dimensions]
    for title, wanted in (only or {}).items():
        if title not in titles:
            raise GridError(f"The grid has no axis {title!r}.", nearest(title, titles))
        axis = titles.index(title)
        options = wanted if isinstance(wanted, (list, tuple, range)) else [wanted]
        shown[axis] = tuple(plan.dimensions[axis].find(option) for option in options)
        if not shown[axis]:
            raise GridError(f"Nothing of the axis {title!r} is left to show.", "Name at least one value.")
    return tuple(shown)


class _Table:
    """Nested columns and rows of one view."""

    def __init__(self, plan: Plan, shown: Sequence[Sequence[int]], zoom: int) -> None:
        self.plan, self.zoom = plan, zoom
        axes = range(len(plan.dimensions))
        self.across, self.down = list(reversed(axes[0::2])), list(reversed(axes[1::2]))  # outer first
        self.columns = list(itertools.product(*(shown[axis] for axis in self.across)))
        self.rows = list(itertools.product(*(shown[axis] for axis in self.down)))
        self.cells = [[self._cell(row, column) for column in self.columns] for row in self.rows]
        sizes = [[self._tile(cell) for cell in line] for line in self.cells]
        fallback = self._tile(next(cell for cell in plan.cells if not cell.skipped))
        self.widths = [max(line[at][0] for line in sizes) or fallback[0] for at in range(len(self.columns))]
        self.heights = [max(size[1] for size in line) or fallback[1] for line in sizes]
        self.scale = min(2.0, max(1.0, sum(self.widths) / USUAL_WIDTH))
        self.min_label, self.row_label = MIN_LABEL * self.scale, ROW_LABEL * self.scale

    def layout(self, title: str, caption: str) -> Layout:
        # Inner levels first: they widen columns, and outer labels then have the wider span.
        heads = [self._column_labels(level) for level in reversed(range(len(self.across)))][::-1]
        sides = [self._row_labels(level) for level in reversed(range(len(self.down)))][::-1]
        side_titles = [wrap(self.plan.dimensions[axis].title, self._style(AXIS), self.row_label) for axis in self.down]
        side_widths = [
            math.ceil(max(heading.width, *(block.width for _, _, block in side)))
            for heading, side in zip(side_titles, sides, strict=True)
        ]
        gap = round(LABEL_GAP * self.scale)
        left = MARGIN + sum(width + gap for width in side_widths)
        xs, right = _offsets(self.widths, self.columns, left)
        head_titles = [
            wrap(self.plan.dimensions[axis].title, self._style(AXIS), max(right - left, self.min_label))
            for axis in self.across
        ]
        width = max(right + MARGIN, MIN_WIDTH, *(math.ceil(left + block.width) + MARGIN for block in head_titles))
        labels: list[Label] = []
        rules: list[tuple[int, int, int, int]] = []
        y = float(MARGIN)
        if title:
            block = wrap(title, self._style(TITLE), width - 2 * MARGIN)
            labels.append(Label(block, MARGIN, y))
            y += block.height + 1.6 * gap
        header_top = y
        for level, (heading, head) in enumerate(zip(head_titles, heads, strict=True)):
            labels.append(Label(heading, left, y))
            y += heading.height + 0.5 * gap
            tallest = max(block.height for _, _, block in head)
            for first, last, block in head:
                start, end = xs[first], xs[last] + self.widths[last]
                labels.append(Label(block, (start + end) / 2, y + tallest - block.height, "center"))
                if level < len(heads) - 1:
                    under = math.ceil(y + tallest + 0.4 * gap)
                    rules.append((start, under, end, under))
            y += tallest + gap
        corner = max((heading.height for heading in side_titles), default=0.0)
        top = math.ceil(max(y, header_top + corner + gap))
        ys, bottom = _offsets(self.heights, self.rows, top)
        x = MARGIN
        for level, (heading, side) in enumerate(zip(side_titles, sides, strict=True)):
            x += side_widths[level]
            labels.append(Label(heading, x, top - gap - heading.height, "right"))
            for first, last, block in side:
                start, end = ys[first], ys[last] + self.heights[last]
                labels.append(Label(block, x, (start + end - block.height) / 2, "right"))
                if level < len(sides) - 1:
                    beside = x + round(0.4 * gap)
                    rules.append((beside, start, beside, end))
            x += gap
        if caption:
            block = wrap(caption, self._style(CAPTION), width - 2 * MARGIN)
            labels.append(Label(block, MARGIN, bottom + 1.6 * gap))
            bottom = math.ceil(bottom + 1.6 * gap + block.height)
        slots = tuple(
            slot
            for line, y0, height in zip(self.cells, ys, self.heights, strict=True)
            for cell, x0, wide in zip(line, xs, self.widths, strict=True)
            for slot in self._slots(cell, x0, y0, wide, height)
        )
        return Layout(width, bottom + MARGIN, self.zoom, tuple(labels), slots, tuple(rules), self.scale)

    def _style(self, style: Style) -> Style:
        return replace(style, size=round(style.size * self.scale))

    def _column_labels(self, level: int) -> list[tuple[int, int, Block]]:
        """(first column, last column, label) of one level; widens columns that are too narrow for their label."""
        labels = []
        inner = level == len(self.across) - 1
        for first, last in _runs(self.columns, level):
            text = self.plan.dimensions[self.across[level]].labels[self.columns[first][level]]
            style = self._style(LABEL if inner else GROUP)
            span = sum(self.widths[first : last + 1]) + GAP * (last - first)
            block = wrap(text, style, max(span, self.min_label))
            self.widths[last] += max(0, math.ceil(block.width - span))
            labels.append((first, last, block))
        return labels

    def _row_labels(self, level: int) -> list[tuple[int, int, Block]]:
        """As `_column_labels`, for rows; a label taller than its rows makes the last of them taller."""
        labels = []
        inner = level == len(self.down) - 1
        for first, last in _runs(self.rows, level):
            text = self.plan.dimensions[self.down[level]].labels[self.rows[first][level]]
            block = wrap(text, self._style(LABEL if inner else GROUP), self.row_label)
            span = sum(self.heights[first : last + 1]) + GAP * (last - first)
            self.heights[last] += max(0, math.ceil(block.height - span))
            labels.append((first, last, block))
        return labels

    def _cell(self, row: Sequence[int], column: Sequence[int]) -> Cell:
        at = [0] * len(self.plan.dimensions)
        for axis, place in itertools.chain(zip(self.down, row, strict=True), zip(self.across, column, strict=True)):
            at[axis] = place
        return self.plan.cell(at)

    def _tile(self, cell: Cell) -> tuple[int, int]:
        if cell.skipped:
            return 0, 0
        across = min(SEEDS_ACROSS, len(cell.recipes))
        down = math.ceil(len(cell.recipes) / across)
        width, height = _size(cell)
        return (
            across * width * self.zoom + (across - 1) * SEED_GAP,
            down * height * self.zoom + (down - 1) * SEED_GAP,
        )

    def _slots(self, cell: Cell, x: int, y: int, width: int, height: int) -> list[Slot]:
        """The boxes of a cell, in the middle of its column and row."""
        if cell.skipped:
            return [Slot(cell, None, x, y, width, height)]
        wide, high = self._tile(cell)
        x, y = x + (width - wide) // 2, y + (height - high) // 2
        side_x, side_y = (side * self.zoom for side in _size(cell))
        return [
            Slot(
                cell,
                seed,
                x + seed % SEEDS_ACROSS * (side_x + SEED_GAP),
                y + seed // SEEDS_ACROSS * (side_y + SEED_GAP),
                side_x,
                side_y,
            )
            for seed in range(len(cell.recipes))
        ]


def _size(cell: Cell) -> tuple[int, int]:
    """Width and height of a cell's pictures in pixels; all seeds of a cell have one size."""
    recipe = cell.resolved[0].recipe
    assert recipe.width is not None  # resolved
    assert recipe.height is not None
    return recipe.width, recipe.height


def _offsets(sizes: Sequence[int], keys: Sequence[Sequence[int]], start: int) -> tuple[list[int], int]:
    """Where each column (or row) begins, and where the last one ends; a wider gap wherever an outer level changes."""
    offsets = []
    end = start
    for number, (size, key) in enumerate(zip(sizes, keys, strict=True)):
        if number:
            before = keys[number - 1]
            changed = next(level for level in range(len(key)) if key[level] != before[level])
            end += GAP + GROUP_GAP * (len(key) - 1 - changed)
        offsets.append(end)
        end += size
    return offsets, end


def _runs(keys: Sequence[Sequence[int]], level: int) -> list[tuple[int, int]]:
    """First and last of each run of columns (or rows) that agree from the outermost level down to `level`."""
    runs = []
    for _, group in itertools.groupby(range(len(keys)), key=lambda number: tuple(keys[number][: level + 1])):
        members = list(group)
        runs.append((members[0], members[-1]))
    return runs
