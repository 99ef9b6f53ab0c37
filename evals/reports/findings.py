"""What a run shows: every mean with its interval, every comparison with its test, every failure counted.

Families for Holm's correction: the main metric of every scorer over all pairs of contenders is one family; all other
metrics are another; the main metrics skill by skill a third. So the headline is not paid for by the details.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evals.running.types import EvalRun, ScorerFacts
from evals.scoring import Metric
from evals.statistics import Difference, Estimate, RankAgreement, holm, mean_interval, paired_difference, rank_agreement

if TYPE_CHECKING:
    import pandas as pd

ALL = ""
"""Stands for all skills together."""
MOST_PAIRS = 6
"""Up to four contenders are compared each with each; more are compared with the first."""
SATURATED = 0.95


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric of one scorer."""

    scorer: ScorerFacts
    metric: Metric

    @property
    def main(self) -> bool:
        """Whether it is its scorer's main metric."""
        return self.scorer.metrics[0] is self.metric

    @property
    def title(self) -> str:
        """For tables: the scorer, and the metric behind it."""
        return f"{self.scorer.name}: {self.metric.name.replace('_', ' ')}"

    @property
    def key(self) -> tuple[str, str]:
        """Names of scorer and metric."""
        return self.scorer.name, self.metric.name

    @property
    def share(self) -> bool:
        """Whether it is shown in points of 100."""
        return self.metric.high == 1.0 and not self.metric.unit


@dataclass(frozen=True, slots=True)
class Mean:
    """One contender's mean of one measure, over all prompts or those of one skill."""

    measure: Measure
    contender: str
    kind: str  # ALL, or a skill
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two contenders on one measure, over the pictures that both have."""

    measure: Measure
    a: str
    b: str
    kind: str
    difference: Difference
    seeds: int  # pictures of each prompt
    dropped: int  # pictures of the one or the other without a partner that has a value


@dataclass(frozen=True, slots=True)
class Count:
    """How many pictures of a contender a scorer could not judge, and why."""

    contender: str
    scorer: str  # empty: the picture itself could not be made
    failed: int
    total: int
    reasons: tuple[tuple[str, int], ...]  # most frequent first


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether two main metrics put the pictures into the same order."""

    first: Measure
    second: Measure
    result: RankAgreement


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a report says in numbers."""

    run: EvalRun
    means: tuple[Mean, ...]
    comparisons: tuple[Comparison, ...]
    counts: tuple[Count, ...]
    agreements: tuple[Agreement, ...]

    @property
    def measures(self) -> list[Measure]:
        """Measures that have a value anywhere, main ones first."""
        found = {each.measure.key: each.measure for each in self.means}
        return sorted(found.values(), key=lambda each: not each.main)

    def mean(self, measure: Measure, contender: str, kind: str = ALL) -> Mean | None:
        """One cell of a table; None where no picture has a value."""
        for each in self.means:
            if (each.measure.key, each.contender, each.kind) == (measure.key, contender, kind):
                return each
        return None


def analyse(run: EvalRun, *, details: bool = True) -> Findings:
    """All means, comparisons and counts of a run.

    Args:
        run: with at least one scorer.
        details: also skill by skill, and metrics that are not the main one of their scorer.
    """
    frame = run.frame()
    values = dict(iter(frame.groupby(["scorer", "metric"], sort=False)))
    measures = [Measure(scorer, metric) for scorer in run.scorers for metric in scorer.metrics]
    chosen = [each for each in measures if details or each.main]
    kinds = run.suite.kinds if details and len(run.suite.kinds) > 1 else ()
    means: list[Mean] = []
    comparisons: list[Comparison] = []
    for measure in chosen:
        part = values[measure.key]
        asked = set(part[part["value"].notna()]["kind"]) if measure.main else set()
        for kind in (ALL, *(kind for kind in kinds if kind in asked and len(asked) > 1)):
            rows = part[part["kind"] == kind] if kind else part
            means += _means(measure, rows, run.names, kind)
            comparisons += _compare(measure, rows, run, kind)
    return Findings(run, tuple(means), tuple(_families(comparisons)), tuple(_counts(run)), tuple(_agree(run, frame)))


def _means(measure: Measure, rows: pd.DataFrame, names: Sequence[str], kind: str) -> Iterator[Mean]:
    for name in names:
        mine = rows[(rows["contender"] == name) & rows["value"].notna()]
        if len(mine):
            estimate = mean_interval(
                mine["value"], list(mine["cluster"]), direction=measure.metric.direction, version=measure.scorer.version
            )
            yield Mean(measure, name, kind, estimate)


def pairs_of(names: Sequence[str]) -> list[tuple[str, str]]:
    """Which contenders are compared: each with each, or all with the first where they are many."""
    pairs = list(combinations(names, 2))
    return pairs if len(pairs) <= MOST_PAIRS else [(names[0], other) for other in names[1:]]


def _compare(measure: Measure, rows: pd.DataFrame, run: EvalRun, kind: str) -> Iterator[Comparison]:
    for a, b in pairs_of(run.names):
        both = paired_rows(rows[rows["contender"] == a], rows[rows["contender"] == b], paired=run.paired)
        if both is None:
            continue
        table, dropped = both
        difference = paired_difference(
            table["value_a"], table["value_b"], list(table["cluster"]), direction=measure.metric.direction
        )
        yield Comparison(measure, a, b, kind, difference, run.seeds, dropped)


def paired_rows(a: pd.DataFrame, b: pd.DataFrame, *, paired: bool = True) -> tuple[pd.DataFrame, int] | None:
    """Pairs of values with columns `cluster`, `value_a`, `value_b`, and how many pictures found no partner.

    Args:
        a: rows of one measure with the columns of `EvalRun.frame`.
        b: the same of the other side.
        paired: pair picture with picture; otherwise the means of each prompt are paired.

    Returns:
        None where there is no pair.
    """
    first, second = (each[each["value"].notna()] for each in (a, b))
    if not paired:
        first, second = _by_prompt(first), _by_prompt(second)
    on = ["prompt_id", "cluster", *(["seed"] if paired else [])]
    table = first[[*on, "value"]].merge(second[[*on, "value"]], on=on, suffixes=("_a", "_b"))
    if not len(table):
        return None
    return table, len(first) + len(second) - 2 * len(table)


def _by_prompt(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby(["prompt_id", "cluster"], as_index=False).agg({"value": "mean"})


def _families(comparisons: list[Comparison]) -> list[Comparison]:
    """The comparisons with adjusted p-values."""
    adjusted: dict[int, Comparison] = {}
    for family in (0, 1, 2):
        places = [at for at, each in enumerate(comparisons) if _family(each) == family]
        corrected = holm([comparisons[at].difference for at in places])
        for at, difference in zip(places, corrected, strict=True):
            adjusted[at] = replace(comparisons[at], difference=difference)
    return [adjusted[at] for at in range(len(comparisons))]


def _family(comparison: Comparison) -> int:
    if comparison.kind:
        return 2
    return 0 if comparison.measure.main else 1


def _counts(run: EvalRun) -> Iterator[Count]:
    for name in run.names:
        cells = [cell for cell in run.cells if cell.contender == name]
        yield _count(name, "", [cell.error for cell in cells])
        for scorer in run.scorers:
            made = [cell for cell in cells if not cell.error]
            yield _count(name, scorer.name, [cell.scores[scorer.name].error for cell in made])


def _count(contender: str, scorer: str, errors: list[str]) -> Count:
    reasons: dict[str, int] = {}
    for error in filter(None, errors):
        reasons[error] = reasons.get(error, 0) + 1
    ordered = tuple(sorted(reasons.items(), key=lambda each: -each[1]))
    return Count(contender, scorer, sum(reasons.values()), len(errors), ordered)


def _agree(run: EvalRun, frame: pd.DataFrame) -> Iterator[Agreement]:
    """Every two main metrics, each signed so that more is better."""
    mains = [Measure(scorer, scorer.metrics[0]) for scorer in run.scorers]
    for one, two in combinations(mains, 2):
        series: list[pd.Series[float]] = []
        for measure in (one, two):
            rows = frame[(frame["scorer"] == measure.key[0]) & (frame["metric"] == measure.key[1])]
            signed = rows["value"] * (1 if measure.metric.direction == "higher" else -1)
            series.append(signed.reset_index(drop=True))
            clusters = rows["cluster"].reset_index(drop=True)
        both: NDArray[np.bool_] = (series[0].notna() & series[1].notna()).to_numpy()
        if both.sum() >= 3:
            result = rank_agreement(series[0][both], series[1][both], list(clusters[both]))
            yield Agreement(one, two, result)


def to_json(findings: Findings) -> dict[str, Any]:
    """Everything as plain JSON values, for machines; what is unbounded or undefined is null."""
    run = findings.run
    return {
        "suite": {"name": run.suite.name, "version": run.suite.version, "sha256": run.suite.fingerprint},
        "contenders": [{"name": name, "weights": run.weights.get(name, "")} for name in run.names],
        "seeds": run.seeds,
        "paired": run.paired,
        "means": [
            {"scorer": each.measure.scorer.name, "metric": each.measure.metric.name, "contender": each.contender,
             "kind": each.kind or None, **_plain(each.estimate)}
            for each in findings.means
        ],
        "comparisons": [
            {"scorer": each.measure.scorer.name, "metric": each.measure.metric.name, "a": each.a, "b": each.b,
             "kind": each.kind or None, "dropped": each.dropped, "better": each.difference.better,
             **_plain(each.difference)}
            for each in findings.comparisons
        ],
        "failures": [asdict(each) for each in findings.counts],
        "environment": dict(run.environment),
    }  # fmt: skip


def _plain(result: Estimate | Difference) -> dict[str, Any]:
    values = asdict(result)
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
