"""Means with intervals that respect how the pictures were drawn: several seeds of one prompt are no independent draws."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.scoring import Direction
from evals.statistics.types import LEVEL, RESAMPLES, SEED, Estimate
from workbench.errors import WorkbenchError

Floats = NDArray[np.float64]


class StatisticsError(WorkbenchError):
    """Numbers do not fit together: lengths differ, nothing to average, or a value that is not finite."""

    code = "WB405"


def mean_interval(
    values: ArrayLike,
    clusters: Sequence[str] | None = None,
    *,
    direction: Direction = "higher",
    version: str = "",
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """The mean with a 95 % interval.

    Shares of independent outcomes (0 or 1, one for each cluster) get Wilson's interval; everything else the bias-corrected
    and accelerated bootstrap over whole clusters (Efron 1987). Where all values are alike the bootstrap has nothing to
    say: a share of 0 or 1 then gets Wilson's interval for as many outcomes as there are clusters.

    Args:
        values: (n,) finite numbers.
        clusters: (n,) names; equal names belong together, for example the prompt of each picture. None: independent.
        direction: kept in the result.
        version: of the scorer, kept in the result.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        StatisticsError: no values, a value that is not finite, or as many clusters as values are not given.
    """
    data = checked(values)
    sums, counts = by_cluster(data, clusters)
    value = float(data.mean())
    groups = len(counts)
    binary = bool(np.isin(data, (0.0, 1.0)).all())
    if binary and (groups == len(data) or value in (0.0, 1.0)):
        low, high = share_interval(round(value * groups), groups)
        return Estimate(value, low, high, len(data), groups, direction, version, "Wilson")
    low, high = bootstrap_interval(sums, counts, resamples=resamples, seed=seed)
    return Estimate(value, low, high, len(data), groups, direction, version, "cluster bootstrap")


def share_interval(right: int, n: int) -> tuple[float, float]:
    """Wilson's (1927) 95 % interval of a share of `right` among `n` independent outcomes."""
    from scipy.stats import binomtest

    interval = binomtest(right, n).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap_interval(
    sums: Floats, counts: Floats, *, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float]:
    """95 % interval of sum(sums) / sum(counts), drawing whole clusters with replacement.

    Args:
        sums: (clusters,) sum of each cluster's values.
        counts: (clusters,) how many there are.
        resamples: bootstrap resamples.
        seed: of the draws.
    """
    from scipy.stats import DegenerateDataWarning, bootstrap

    means = sums / counts
    if len(means) < 2 or np.ptp(means) == 0:
        return float(means[0]), float(means[0])

    def ratio(s: Floats, c: Floats, axis: int = -1) -> Floats:
        return np.asarray(s.sum(axis=axis) / c.sum(axis=axis))

    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateDataWarning)
        draw = {"paired": True, "confidence_level": LEVEL, "n_resamples": resamples, "vectorized": True}
        draw |= {"batch": max(1, 2_000_000 // len(means))}
        try:
            found = bootstrap((sums, counts), ratio, method="BCa", rng=np.random.default_rng(seed), **draw)
        except DegenerateDataWarning:  # too few distinct clusters for the acceleration
            found = bootstrap((sums, counts), ratio, method="percentile", rng=np.random.default_rng(seed), **draw)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def by_cluster(values: Floats, clusters: Sequence[str] | None) -> tuple[Floats, Floats]:
    """Sum and count of each cluster's values, both (clusters,), in the order of the first member.

    Raises:
        StatisticsError: as many cluster names as values are not given.
    """
    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise StatisticsError(f"{len(clusters)} cluster names were given for {len(values)} values.")
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    where = np.array([places[name] for name in clusters])
    return np.bincount(where, values).astype(np.float64), np.bincount(where).astype(np.float64)


def checked(values: ArrayLike) -> Floats:
    """`values` as an array of finite numbers, (n,) with n of at least 1.

    Raises:
        StatisticsError: they are not.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not data.size:
        raise StatisticsError("There are no values to average.", "Score at least one picture.")
    if not np.isfinite(data).all():
        raise StatisticsError("A value is not finite.", "Leave pictures without a value out, and count them.")
    return data
