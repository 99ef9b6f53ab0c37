"""Do raters agree, do scorers agree, and do scorers agree with people?

Krippendorff's alpha for raters, Kendall's tau-b for rankings, and pairwise accuracy with ties for a metric that should
say which of two pictures people prefer. Every number has a 95 % interval by bootstrap over prompts, as votes and scores
of one prompt are not independent. Values that are not defined (all ratings alike, a constant metric) are None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.scoring import Direction
from evals.statistics import Estimate, rank_agreement
from evals.statistics.types import SEED
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

    from evals.arena.contest import Contest
    from evals.arena.votes import Vote

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]
Scores = Mapping[tuple[str, str, int], float | None]
"""One metric's value by contender, prompt id and seed; None and absent keys are counted as without a value."""


class AgreementError(WorkbenchError):
    """Ratings or scores cannot be compared: lengths differ, or nothing is shared."""

    code = "WB422"


def krippendorff_alpha(
    ratings: ArrayLike,
    clusters: Sequence[str] | None = None,
    *,
    level: Level = "ordinal",
    resamples: int = 999,
    seed: int = SEED,
) -> Estimate | None:
    """Krippendorff's (2011) alpha: 1 perfect agreement, 0 what chance gives, below 0 systematic disagreement.

    Args:
        ratings: (raters, units) numbers, nan where a rater did not judge a unit.
        clusters: (units,) names; units with equal names are resampled together. None: independent.
        level: how far apart two values are.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The value with its interval; `n` counts the units that at least two raters judged. None where there are none, or
        where all ratings are alike, so that agreement cannot be told from chance.

    Raises:
        AgreementError: `ratings` is no table, or `clusters` does not fit it.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or (clusters is not None and len(clusters) != table.shape[1]):
        raise AgreementError("Ratings are a table of raters by units, with one cluster name for each unit.")
    shared = (~np.isnan(table)).sum(axis=0) >= 2
    table = table[:, shared]
    values = np.unique(table[~np.isnan(table)])
    if len(values) < 2:
        return None
    names = np.arange(len(shared)).astype(str) if clusters is None else np.asarray(clusters, dtype=str)
    groups = _members(names[shared])
    counts = np.stack([(table == value).sum(axis=0) for value in values], axis=1)  # (units, values)
    value = _alpha(counts, values, level)
    found = [_alpha(counts[places], values, level) for places in _resampled(groups, resamples, seed)]
    low, high = np.nanquantile(found, (0.025, 0.975))
    n = int(shared.sum())
    return Estimate(value, float(low), float(high), n, len(groups), method=f"alpha, {level}, cluster bootstrap")


def _alpha(counts: NDArray[np.int64], values: Floats, level: Level) -> float:
    """Alpha of (units, values) counts; nan where only one value occurs."""
    import krippendorff

    present = counts.sum(axis=0) > 0
    if present.sum() < 2:
        return float("nan")
    return float(
        krippendorff.alpha(value_counts=counts[:, present], value_domain=values[present], level_of_measurement=level)
    )


@dataclass(frozen=True, slots=True)
class PairwiseAccuracy:
    """How often a metric orders two pictures as people do.

    Attributes:
        accuracy: share of votes that the metric repeats, ties included.
        threshold: differences of at most this are ties of the metric; chosen to give the best accuracy.
        baseline: what the better of two blind answers gets: always "tie", or a coin between the two pictures.
    """

    accuracy: Estimate
    threshold: float
    baseline: float


def pairwise_accuracy(
    differences: ArrayLike,
    preferences: ArrayLike,
    clusters: Sequence[str] | None = None,
    *,
    resamples: int = 999,
    seed: int = SEED,
) -> PairwiseAccuracy:
    """Pairwise accuracy with calibrated ties (Deutsch, Foster, Freitag 2023, arXiv 2305.14324, "acc*eq").

    A pair counts where metric and person name the same side, or both say tie. A metric of real numbers never ties, so
    differences up to a threshold count as ties; the threshold is the one that gives the best accuracy, here and in every
    resample, so that the interval holds for the calibrated number.

    Args:
        differences: (n,) metric of the first picture minus that of the second, turned so that higher is better.
        preferences: (n,) 1 where the first was preferred, -1 where the second was, 0 for a tie.
        clusters: (n,) names; equal names are resampled together, for example the prompt.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        AgreementError: lengths differ, there is nothing, or a value is not finite or no preference.
    """
    metric, human = np.asarray(differences, dtype=np.float64), np.asarray(preferences, dtype=np.float64)
    if not (metric.ndim == 1 and metric.size and metric.shape == human.shape and np.isfinite(metric).all()):
        raise AgreementError("Differences and preferences are two equally long lists of finite numbers.")
    if not np.isin(human, (-1, 0, 1)).all():
        raise AgreementError("A preference is 1, 0 or -1.")
    if clusters is not None and len(clusters) != len(metric):
        raise AgreementError(f"{len(clusters)} cluster names were given for {len(metric)} pairs.")
    names = np.arange(len(metric)).astype(str) if clusters is None else np.asarray(clusters, dtype=str)
    groups = _members(names)
    value, threshold = _best_accuracy(metric, human)
    found = [_best_accuracy(metric[places], human[places])[0] for places in _resampled(groups, resamples, seed)]
    low, high = np.quantile(found, (0.025, 0.975))
    ties = float((human == 0).mean())
    estimate = Estimate(value, float(low), float(high), len(metric), len(groups), method="cluster bootstrap")
    return PairwiseAccuracy(estimate, threshold, max(ties, (1 - ties) / 2))


def _best_accuracy(metric: Floats, human: Floats) -> tuple[float, float]:
    """The best accuracy over all thresholds, and the smallest threshold that gives it."""
    size = np.abs(metric)
    order = np.argsort(size, kind="stable")
    size = size[order]
    right = ((np.sign(metric) == human) & (human != 0))[order]
    tied = (human == 0)[order]
    # Threshold t: the first k pairs (size <= t) are ties of the metric, the others keep their sign.
    correct = np.concatenate([[0], np.cumsum(tied)]) + right.sum() - np.concatenate([[0], np.cumsum(right)])
    last = np.append(size[1:] != size[:-1], True)  # equal sizes are ties together
    allowed = np.concatenate([[size[0] > 0], last])  # k = 0 would need a threshold below 0 where a difference is 0
    scores = np.where(allowed, correct, -1)
    best = int(scores.argmax())
    return float(scores[best] / len(metric)), float(size[best - 1]) if best else 0.0


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two metrics over the pictures that both have scored."""

    first: str
    second: str
    tau: Estimate | None  # Kendall's tau-b; None where one of them is constant or nothing is shared
    dropped: int  # pictures without a value of one of them


def scorers_agreement(
    frame: pd.DataFrame,
    directions: Mapping[str, Direction],
    *,
    cluster: str = "prompt_id",
    resamples: int = 999,
    seed: int = SEED,
) -> list[Pairing]:
    """Kendall's tau-b of every two metrics, turned so that higher is better in both.

    Args:
        frame: one row for each picture, one column for each metric; missing values are empty.
        directions: the metrics' columns and their directions.
        cluster: column of names that belong together in the resampling.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        AgreementError: a column is not there, or there are fewer than two metrics.
    """
    if absent := [name for name in (*directions, cluster) if name not in frame.columns]:
        raise AgreementError(f"The table has no column {absent[0]!r}.")
    if len(directions) < 2:
        raise AgreementError("Agreement needs two metrics.", "Name another one.")
    found = []
    for first, second in combinations(directions, 2):
        both = frame[[first, second, cluster]].dropna()
        tau = None
        if len(both):
            a, b = (both[name].to_numpy(float) * _sign(directions[name]) for name in (first, second))
            tau = _kendall(a, b, both[cluster].astype(str).tolist(), resamples, seed)
        found.append(Pairing(first, second, tau, len(frame) - len(both)))
    return found


@dataclass(frozen=True, slots=True)
class HumanAgreement:
    """One metric against people's votes.

    Attributes:
        metric: its name.
        accuracy: pairwise accuracy with ties; None where no vote has a value on both sides.
        tau: Kendall's tau-b of the metric's differences with the preferences; None where it is not defined.
        without: votes on pictures that the metric gives no value.
    """

    metric: str
    accuracy: PairwiseAccuracy | None
    tau: Estimate | None
    without: int


def human_agreement(
    contest: Contest,
    votes: Iterable[Vote],
    metrics: Mapping[str, tuple[Direction, Scores]],
    *,
    resamples: int = 999,
    seed: int = SEED,
) -> list[HumanAgreement]:
    """How well each metric repeats what people said in a contest, best first.

    Args:
        contest: what was compared.
        votes: of all raters; skips say nothing, repeats were asked for another reason, and both are left out.
        metrics: by name: the direction, and the value of each contender's picture.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        AgreementError: there is no vote.
    """
    counted = [(vote, vote.outcome) for vote in votes if not vote.pair.repeat]
    said = [(vote.comparison, 2 * outcome - 1) for vote, outcome in counted if outcome is not None]
    if not said:
        raise AgreementError("There is no vote to compare with.", "Let somebody judge a few pairs first.")
    found = []
    for name, (direction, scores) in metrics.items():
        rows = []
        for what, preference in said:
            item = contest.items[what.item]
            keys = [(contest.contenders[place], item.prompt_id, item.seed) for place in (what.first, what.second)]
            first, second = (scores.get(key) for key in keys)
            if first is not None and second is not None:
                rows.append((_sign(direction) * (first - second), preference, item.prompt_id))
        accuracy, tau = None, None
        if rows:
            differences, preferences, names = (list(column) for column in zip(*rows, strict=True))
            accuracy = pairwise_accuracy(differences, preferences, names, resamples=resamples, seed=seed)
            # Which side is "first" means nothing, so every pair counts both ways round.
            metric, human = (np.array([*side, *(-value for value in side)]) for side in (differences, preferences))
            tau = _kendall(metric, human, names * 2, resamples, seed)
            tau = tau and replace(tau, n=tau.n // 2)
        found.append(HumanAgreement(name, accuracy, tau, len(said) - len(rows)))
    return sorted(found, key=lambda each: -1.0 if each.accuracy is None else each.accuracy.accuracy.value, reverse=True)


def _kendall(a: Floats, b: Floats, clusters: list[str], resamples: int, seed: int) -> Estimate | None:
    found = rank_agreement(a, b, clusters, resamples=resamples, seed=seed)
    if np.isnan(found.tau):
        return None
    return Estimate(
        found.tau, found.low, found.high, found.n, found.clusters, method="Kendall tau-b, cluster bootstrap"
    )


def _sign(direction: Direction) -> float:
    return 1.0 if direction == "higher" else -1.0


def _members(names: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Places of each distinct name."""
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]


def _resampled(groups: list[NDArray[np.int64]], resamples: int, seed: int) -> Iterable[NDArray[np.int64]]:
    """Places of whole groups drawn with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.concatenate([groups[place] for place in rng.integers(len(groups), size=len(groups))])
