"""Pictures of an evaluation: sheets of results with their prompts, and confusion matrices as heat maps."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evals.run import Judged
from evals.scenes.verdict import CheckName, asked

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = 6
_RIGHT, _WRONG, _OPEN = "#1a7f37", "#cf222e", "#57606a"
_CELL, _LINE = 1.6, 0.135  # inches: side of a picture, height of a line of text
_WRAP = 27  # letters that fit over a picture


def drawn_by_lot(rows: Sequence[Judged], count: int = 24, *, seed: int = 0) -> list[Judged]:
    """`count` rows with a picture, drawn with a fixed seed and never picked, in the suite's order."""
    able = [index for index, row in enumerate(rows) if row.picture is not None]
    drawn = Random(seed).sample(able, min(count, len(able)))  # noqa: S311  # a draw of examples is no cryptography
    return [rows[index] for index in sorted(drawn)]


def worst_cases(rows: Sequence[Judged], share: float = 0.05) -> list[Judged]:
    """The worst `share` of the rows, at least 12 where as many are wrong: most failed checks first."""
    wrong = [row for row in rows if row.picture is not None and row.verdict and row.verdict.right is False]
    wrong.sort(key=lambda row: -len(_faults(row)) / len(asked(row.verdict.expected)) if row.verdict else 0)
    return wrong[: max(12, math.ceil(share * len(rows)))]


def _faults(row: Judged) -> list[CheckName]:
    """Names of the checks that failed."""
    if row.verdict is None:
        return []
    return [name for name in asked(row.verdict.expected) if row.verdict.checks[name].ok is False]


def sheet(rows: Sequence[Judged], *, title: str) -> Figure:
    """Pictures in rows of six, each under its prompt and the mark of its verdict; no text is cut.

    Args:
        rows: at least one, all with pictures.
        title: stands over all.
    """
    captions = [(textwrap.wrap(_drawable(row.prompt.prompt), _WRAP), *_mark(row)) for row in rows]
    across, down = min(COLUMNS, len(rows)), math.ceil(len(rows) / COLUMNS)
    lines = max(len(prompt) + len(mark) for prompt, mark, _ in captions)
    step = _CELL + _LINE * (lines + 1.5)  # inches from one row to the next
    figure = Figure(figsize=(across * (_CELL + 0.25) + 0.25, down * step + 0.5), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)
    width, height = figure.get_size_inches()
    heading = textwrap.fill(_drawable(title), max(30, int(width * 10)))
    figure.text(0.25 / width, 1 - 0.12 / height, heading, fontsize=10, fontweight="bold", va="top")
    for index, (row, (prompt, mark, colour)) in enumerate(zip(rows, captions, strict=True)):
        left = 0.25 + (index % COLUMNS) * (_CELL + 0.25)
        top = height - 0.5 - (index // COLUMNS) * step - _LINE * (lines + 0.5)  # of the picture, inches from below
        axes = figure.add_axes((left / width, (top - _CELL) / height, _CELL / width, _CELL / height))
        assert row.picture is not None  # by contract
        axes.imshow(np.asarray(row.picture), interpolation="none" if min(row.picture.size) < 256 else "antialiased")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color=colour, linewidth=1.5)
        place = {"fontsize": 7, "va": "bottom", "linespacing": 1.15}
        figure.text(left / width, (top + 0.05) / height, "\n".join(mark), color=colour, **place)  # type: ignore[arg-type]
        above = top + 0.05 + _LINE * len(mark)
        figure.text(left / width, above / height, "\n".join(prompt), color="black", **place)  # type: ignore[arg-type]
    return figure


def _mark(row: Judged) -> tuple[list[str], str]:
    """Lines and colour of the verdict under a prompt."""
    if row.verdict is None or row.verdict.right is None:
        return ["? not judged in full"], _OPEN
    if row.verdict.right:
        return ["✓ right"], _RIGHT
    seen = [_drawable(f"{name} {row.verdict.checks[name].seen}".strip()) for name in _faults(row)]
    return textwrap.wrap("✗ " + "; ".join(seen), _WRAP), _WRONG


def _drawable(text: str) -> str:
    """`text` with a question mark for every sign outside Latin-1: what an OCR engine reads into a blot can be any script,
    and the sheet's font would leave it out.
    """
    return text.encode("latin-1", "replace").decode("latin-1").replace("$", r"\$")  # a $ would begin a formula


def confusion_figure(counts: pd.DataFrame) -> Figure:
    """A confusion matrix as a heat map: colour is the share of its row, numbers are counts."""
    values = counts.to_numpy()
    rows, columns = values.shape
    figure = Figure(figsize=(1.8 + 0.42 * columns, 1.5 + 0.36 * rows), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)  # (rows, columns)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), list(map(str, counts.columns)), rotation=45, ha="right")
    axes.set_yticks(range(rows), list(map(str, counts.index)))
    axes.set(xlabel=str(counts.columns.name), ylabel=str(counts.index.name))
    for (row, column), count in np.ndenumerate(values):
        if count:
            ink = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=ink, fontsize=8)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, grown where a text would reach over its edge."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.1)
    return buffer.getvalue()
