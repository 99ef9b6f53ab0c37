"""Two panels: gain over the base by checkpoint and weight, and gain against drift with both intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evals.reports.figures import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from finetune.pick.result import Picked

_KEEP = "#2da44e"


def draw(picked: Picked) -> Figure:
    """The figure of a pick; the candidate to keep is outlined in both panels."""
    from matplotlib.figure import Figure

    weights = sorted({each.candidate.weight for each in picked.choice.judged})
    steps = sorted({each.candidate.step for each in picked.choice.judged})
    figure = Figure(figsize=(4.6 + 0.75 * len(weights) + 4, 1.8 + 0.5 * max(len(steps), 5)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1 + 0.2 * len(weights), 2))
    _heat(left, picked, steps, weights)
    _scatter(right, picked, weights)
    return figure


def _scale(picked: Picked) -> float:
    return 100.0 if picked.target.share else 1.0


def _heat(axes: Axes, picked: Picked, steps: list[int], weights: list[float]) -> None:
    scale = _scale(picked)
    sign = 1 if picked.target.direction == "higher" else -1
    table = np.full((len(steps), len(weights)), np.nan)
    for each in picked.choice.judged:
        table[steps.index(each.candidate.step), weights.index(each.candidate.weight)] = scale * each.gain.value
    limit = 1.5 * max(float(np.nanmax(np.abs(table))), 1e-9)  # pale ends, so that the numbers stay readable
    axes.imshow(sign * table, cmap="RdYlGn", vmin=-limit, vmax=limit, aspect="auto")
    for each in picked.choice.judged:
        row, column = steps.index(each.candidate.step), weights.index(each.candidate.weight)
        text = f"{scale * each.gain.value:+.3g}" + ("" if each.gain.better is not None else "\nnot shown")
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color="black")
        if each is picked.choice.keep:
            axes.add_patch(_outline(column, row))
    axes.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    axes.set_yticks(range(len(steps)), [str(step) for step in steps])
    axes.set_xlabel("weight")
    axes.set_ylabel("step")
    unit = "points" if picked.target.share else "difference"
    axes.set_title(f"Gain over the base, {unit}\n{picked.target.title}", fontsize=10)


def _outline(column: int, row: int) -> Patch:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor="black", linewidth=2.4)


def _scatter(axes: Axes, picked: Picked, weights: list[float]) -> None:
    scale = _scale(picked)
    for each in picked.choice.judged:
        colour = PALETTE[weights.index(each.candidate.weight) % len(PALETTE)]
        x, y = each.drift, each.gain
        face = colour if each.admissible else "none"
        axes.plot([x.low, x.high], [scale * y.value] * 2, color=colour, alpha=0.45, linewidth=1.4)
        axes.plot([x.value] * 2, [scale * y.low, scale * y.high], color=colour, alpha=0.45, linewidth=1.4)
        axes.plot(x.value, scale * y.value, "o", color=colour, markerfacecolor=face, markersize=7)
        axes.annotate(
            str(each.candidate.step), (x.value, scale * y.value), xytext=(5, 4), textcoords="offset points", fontsize=8
        )
        if each is picked.choice.keep:
            axes.plot(
                x.value, scale * y.value, "o", markersize=14, color=_KEEP, markerfacecolor="none", markeredgewidth=2
            )
    for place, weight in enumerate(weights):
        axes.plot([], [], "o", color=PALETTE[place % len(PALETTE)], label=f"weight {weight:g}")
    axes.axhline(0, color="gray", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xlim(left=0)
    axes.set_xlabel("drift: 1 − SSIM to the base on unrelated prompts")
    axes.set_ylabel("gain over the base" + (", points" if picked.target.share else ""))
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("Steps, with 95 % intervals; hollow where the control suffers", fontsize=10)
    axes.grid(visible=True, alpha=0.25)
