"""Krippendorff's alpha, and pairwise accuracy with calibrated ties, with intervals by bootstrap over prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.statistics import Estimate
from evals.statistics.types import SEED
from workbench.errors import WorkbenchError

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]


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


def _members(names: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Places of each distinct name."""
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]


def _resampled(groups: list[NDArray[np.int64]], resamples: int, seed: int) -> Iterable[NDArray[np.int64]]:
    """Places of whole groups drawn with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.concatenate([groups[place] for place in rng.integers(len(groups), size=len(groups))])
