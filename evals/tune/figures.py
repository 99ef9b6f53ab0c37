"""Figures of a search as SVG text: how it went, and how the objective lies over each parameter."""

from __future__ import annotations

import io
from itertools import accumulate
from typing import TYPE_CHECKING

from evals.reports.figures import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from evals.tune.result import TuneResult

_INK = "#7d8590"  # between light and dark pages, as in the reports of runs
_MARKS = {"done": ("o", PALETTE[0], "seen all prompts"), "stopped early": ("v", PALETTE[1], "stopped early")}


def search_figure(result: TuneResult) -> str:
    """The objective by trial with the best so far, and by every parameter; the default is a dashed line."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    names = list(result.space.search)
    across = min(3, len(names) + 1)
    down = -(-(len(names) + 1) // across)
    figure = Figure(figsize=(3.1 * across, 2.5 * down), layout="constrained")
    FigureCanvasSVG(figure)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    _panel(result, panels[0], None)
    for name, axes in zip(names, panels[1:], strict=False):
        _panel(result, axes, name)
    for axes in panels[len(names) + 1 :]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, labelcolor=_INK, fontsize=8)
    return _svg(figure)


def _panel(result: TuneResult, axes: Axes, name: str | None) -> None:
    """One scatter plot: over the trials (`name` None), or over one parameter."""
    shown = [each for each in result.trials if each.objective is not None]
    texts = sorted({str(each.params[name]) for each in shown if name and isinstance(each.params[name], str)})
    for state, (marker, ink, label) in _MARKS.items():
        chosen = [each for each in shown if each.state == state]
        x = [_place(each.number if name is None else each.params[name], texts) for each in chosen]
        y = [each.means["objective"] for each in chosen]
        axes.plot(x, y, marker, color=ink, alpha=0.75, markersize=5, markeredgewidth=0, label=label)
    axes.axhline(result.default["objective"], color=_INK, linestyle="--", linewidth=1, label="default")
    if name is None:
        done = [each for each in shown if each.state == "done"]
        best = list(accumulate((each.means["objective"] for each in done), max))
        axes.step(
            [each.number for each in done], best, where="post", color=PALETTE[2], linewidth=1.5, label="best so far"
        )
    if texts:
        axes.set_xticks(range(len(texts)), texts, rotation=20, ha="right")
    axes.set_xlabel("trial" if name is None else name, color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelsize=8, length=0)
    axes.grid(color=_INK, alpha=0.18, linewidth=0.8)
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_color(_INK)
        spine.set_alpha(0.4)


def _place(value: str | float, texts: list[str]) -> float:
    return float(texts.index(value)) if isinstance(value, str) else float(value)


def _svg(figure: Figure) -> str:
    import matplotlib as mpl

    buffer = io.StringIO()
    # A fixed salt and no date: the same search gives the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tune", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
