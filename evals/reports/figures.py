"""Figures of a report as SVG text: forest plots, radar, time against quality. Colours work on light and dark pages."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evals.reports.findings import ALL, Findings, Measure
from evals.reports.sentences import number
from evals.statistics import pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#06b6d4", "#eab308", "#ec4899")
"""One colour for each contender, in order; told apart by most colour-blind readers, and by a marker besides."""
MARKERS = "osD^vPX*"
_INK = "#7d8590"  # between light and dark pages: readable on both
_WIDTH = 8.2  # inches


def colour(place: int) -> str:
    """Of the contender at `place`."""
    return PALETTE[place % len(PALETTE)]


def means_figure(findings: Findings) -> str:
    """Forest plot of every main metric: one dot and interval for each contender, over all skills and for each one."""
    run = findings.run
    rows: list[tuple[str, Measure, str]] = []
    for measure in (each for each in findings.measures if each.main and each.share):
        kinds = [kind for kind in run.suite.kinds if any(findings.mean(measure, n, kind) for n in run.names)]
        rows += [(measure.title, measure, ALL), *((f"    {kind}", measure, kind) for kind in kinds if len(kinds) > 1)]
    if not rows:
        return ""
    figure, axes = _figure(_WIDTH, 0.9 + len(rows) * (0.22 + 0.13 * len(run.names)))
    for place, (_, measure, kind) in enumerate(rows):
        for at, name in enumerate(run.names):
            if found := findings.mean(measure, name, kind):
                estimate = found.estimate
                y = place + _offset(at, len(run.names))
                style: dict[str, Any] = {"color": colour(at), "alpha": 1.0 if kind == ALL else 0.75}
                axes.plot(
                    [100 * estimate.low, 100 * estimate.high], [y, y], linewidth=2.2, solid_capstyle="round", **style
                )
                label = name if place == 0 else None
                size = 7 if kind == ALL else 5
                marker = MARKERS[at % len(MARKERS)]
                axes.plot(100 * estimate.value, y, marker=marker, markersize=size, linestyle="", label=label, **style)
    _rows(axes, [title for title, _, _ in rows], bold=[kind == ALL for _, _, kind in rows])
    axes.set_xlabel("points of 100, with 95 % intervals")
    _legend(axes, len(run.names))
    return _svg(figure)


def differences_figure(findings: Findings) -> str:
    """Forest plot of the main metrics' differences between contenders; filled where a difference is shown."""
    rows = [each for each in findings.comparisons if each.measure.main and each.measure.share]
    if not rows:
        return ""
    rows.sort(key=lambda each: (each.a, each.b, each.measure.key, each.kind != ALL))
    figure, axes = _figure(_WIDTH, 0.9 + 0.34 * len(rows))
    for place, each in enumerate(rows):
        found = each.difference
        good = {None: _INK, True: "#2da44e", False: "#e5534b"}[found.better]
        axes.plot(
            [100 * found.low, 100 * found.high], [place, place], color=good, linewidth=2.4, solid_capstyle="round"
        )
        face = good if found.better is not None else "none"
        axes.plot(
            100 * found.value, place, marker="o", markersize=7, color=good, markerfacecolor=face, markeredgewidth=1.6
        )
    axes.axvline(0, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
    titles = [f"{e.a} − {e.b}   {e.measure.title}" if e.kind == ALL else f"    {e.kind}" for e in rows]
    _rows(axes, titles, bold=[each.kind == ALL for each in rows])
    axes.set_xlabel("difference in points, with 95 % intervals")
    return _svg(figure)


def radar_figure(findings: Findings, measure: Measure) -> str:
    """One measure over the skills as a radar, a polygon for each contender; empty for fewer than three skills."""
    run = findings.run
    kinds = [kind for kind in run.suite.kinds if all(findings.mean(measure, name, kind) for name in run.names)]
    if len(kinds) < 3 or not measure.share:
        return ""
    figure, axes = _figure(5.0, 4.6, polar=True)
    angles = [2 * math.pi * place / len(kinds) for place in range(len(kinds))]
    for at, name in enumerate(run.names):
        values = [100 * found.estimate.value for kind in kinds if (found := findings.mean(measure, name, kind))]
        closed = ([*angles, angles[0]], [*values, values[0]])
        axes.plot(*closed, color=colour(at), linewidth=2, marker=MARKERS[at % len(MARKERS)], markersize=4.5, label=name)
        axes.fill(*closed, color=colour(at), alpha=0.10)
    polar: Any = axes
    polar.set_theta_offset(math.pi / 2)
    polar.set_theta_direction(-1)
    axes.set_xticks(angles, [textwrap.fill(kind, 14) for kind in kinds])
    axes.tick_params(axis="x", pad=16)
    axes.set_ylim(0, 100)
    axes.set_yticks([25, 50, 75, 100], ["25", "50", "75", "100"], color=_INK, fontsize=7)
    axes.set_title(measure.title, color=_INK, fontsize=10, pad=16)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, frameon=False, labelcolor=_INK, fontsize=9)
    return _svg(figure)


def cost_figure(findings: Findings, measure: Measure) -> str:
    """Median seconds a picture against one measure, with the Pareto front; empty where no times are known."""
    points = []
    for at, name in enumerate(findings.run.names):
        found, seconds = findings.mean(measure, name), median_seconds(findings, name)
        if found and seconds is not None:
            points.append((at, name, seconds, found.estimate))
    if len(points) < 2:
        return ""
    scale = 100 if measure.share else 1
    figure, axes = _figure(_WIDTH, 3.4)
    front = pareto_front([p[2] for p in points], [p[3].value for p in points], measure.metric.direction)
    axes.plot(
        [points[at][2] for at in front], [scale * points[at][3].value for at in front],
        color=_INK, linewidth=1.4, linestyle=(0, (4, 3)), label="Pareto front", zorder=1,
    )  # fmt: skip
    for at, name, seconds, found_mean in points:
        low, high = scale * found_mean.low, scale * found_mean.high
        axes.plot([seconds, seconds], [low, high], color=colour(at), linewidth=2.2, solid_capstyle="round")
        marker = MARKERS[at % len(MARKERS)]
        axes.plot(
            seconds, scale * found_mean.value, marker=marker, color=colour(at), linestyle="", markersize=8, label=name
        )
    axes.set_xlim(left=0, right=1.12 * max(point[2] for point in points))
    axes.set_xlabel("median seconds a picture; left is faster")
    unit = "points of 100" if measure.share else measure.metric.unit
    name = textwrap.fill(f"{measure.title}{f', {unit}' if unit else ''}", 30)
    axes.set_ylabel(f"{name}\n{measure.metric.direction} is better", fontsize=9)
    axes.grid(axis="both", color=_INK, alpha=0.18, linewidth=0.8)
    _legend(axes, len(points) + 1)
    return _svg(figure)


def median_seconds(findings: Findings, contender: str) -> float | None:
    """That a contender's pictures took; None where no time is known."""
    from statistics import median

    known = [c.seconds for c in findings.run.cells if c.contender == contender and c.seconds is not None]
    return median(known) if known else None


def describe(findings: Findings, measure: Measure) -> str:
    """A measure's values in words, as the text alternative of its figures."""
    known = [(name, found) for name in findings.run.names if (found := findings.mean(measure, name))]
    return f"{measure.title}: {', '.join(f'{name} {number(found.estimate.value, measure)}' for name, found in known)}"


def _offset(at: int, count: int) -> float:
    """Where the dot of one of `count` contenders stands within its row, in rows."""
    return (at - (count - 1) / 2) * min(0.18, 0.7 / count)


def _figure(width: float, height: float, *, polar: bool = False) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_subplot(projection="polar" if polar else None)
    axes.patch.set_alpha(0)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    for name, spine in axes.spines.items():
        spine.set_color(_INK)
        spine.set_alpha(0.5)
        spine.set_visible(polar or name == "bottom")
    axes.xaxis.label.set_color(_INK)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_color(_INK)
    if polar:
        axes.grid(color=_INK, alpha=0.3, linewidth=0.8)
    return figure, axes


def _rows(axes: Axes, titles: Sequence[str], *, bold: Sequence[bool]) -> None:
    """Horizontal rows from top to bottom, labelled as in a table."""
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.set_yticks(range(len(titles)), list(titles))
    for label, strong in zip(axes.get_yticklabels(), bold, strict=True):
        label.set_fontweight("bold" if strong else "normal")
    axes.grid(axis="x", color=_INK, alpha=0.18, linewidth=0.8)
    axes.set_axisbelow(True)


def _legend(axes: Axes, entries: int) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(4, entries), frameon=False, labelcolor=_INK, fontsize=9,
        handletextpad=0.4, columnspacing=1.6,
    )  # fmt: skip


def _svg(figure: Figure) -> str:
    """The figure as an SVG element without the XML head; text stays text, so it can be searched and scales."""
    import matplotlib as mpl

    buffer = io.StringIO()
    # A fixed salt and no date: the same findings give the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "evals", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
