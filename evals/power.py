"""How many prompts a difference needs: from a spread that is given, or measured in an earlier run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.running.types import RunError
from evals.statistics import detectable_difference, prompts_needed


@dataclass(frozen=True, slots=True)
class Spread:
    """The standard deviation of prompts' mean paired differences, and what it was measured on."""

    measure: str
    compared: str
    value: float
    prompts: int | None


def plan_sizes(
    folder: Path | None, *, spread: float | None, difference: float | None, prompts: int | None, power: float = 0.8
) -> list[dict[str, Any]]:
    """Rows with `measure`, `compared`, `spread`, `difference` and `prompts`: the one asked for is computed.

    Args:
        folder: a run with at least two contenders, whose spreads are used.
        spread: standard deviation of the prompts' paired differences, instead of a run.
        difference: smallest difference that matters, in the metric's unit; the prompts for it are computed.
        prompts: how many there will be; the smallest difference that they can show is computed.
        power: chance to find it.

    Raises:
        RunError: not exactly one of run and spread is given, or not exactly one of difference and prompts; a run alone
            says what it could have found itself.
        StatisticsError: a number out of range.
    """
    if (folder is None) == (spread is None):
        raise RunError("The spread of differences is not known.", "Give the folder of a run, or --spread.")
    if difference is not None and prompts is not None:
        raise RunError("Difference and prompts decide each other.", "Give --difference or --prompts.")
    if folder is None and difference is None and prompts is None:
        raise RunError("There is nothing to compute.", "Give --difference or --prompts.")
    found = _spreads(folder) if folder is not None else iter([Spread("", "", float(spread or 0.0), None)])
    rows = []
    for each in found:
        count = prompts or each.prompts
        if difference is not None:
            size, needed = difference, prompts_needed(each.value, difference, power=power)
        else:
            assert count is not None  # a run has prompts, a bare spread was given with some
            size, needed = detectable_difference(each.value, count, power=power), count
        rows.append(
            {"measure": each.measure, "compared": each.compared, "spread": round(each.value, 4),
             "difference": round(size, 4), "prompts": needed}
        )  # fmt: skip
    return rows


def _spreads(folder: Path) -> Iterator[Spread]:
    """One for every pair of contenders and main metric of a run."""
    from evals.reports.findings import Measure, paired_rows, pairs_of
    from evals.running.files import load_run

    run = load_run(folder)
    if len(run.names) < 2:
        raise RunError(
            f"The run in {str(folder)!r} has one contender only.", "Use a run that compares two, or --spread."
        )
    frame = run.frame()
    for scorer in run.scorers:
        measure = Measure(scorer, scorer.metrics[0])
        rows = frame[(frame["scorer"] == measure.key[0]) & (frame["metric"] == measure.key[1])]
        for a, b in pairs_of(run.names):
            both = paired_rows(rows[rows["contender"] == a], rows[rows["contender"] == b], paired=run.paired)
            if both is None:
                continue
            table = both[0].assign(difference=both[0]["value_a"] - both[0]["value_b"])
            means = table.groupby("cluster")["difference"].mean()
            if len(means) > 1:
                yield Spread(measure.title, f"{a} − {b}", float(means.std(ddof=1)), len(means))
