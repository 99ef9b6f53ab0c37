"""Do two metrics say the same? Kendall's rank correlation over the pictures that both have scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evals.statistics.intervals import StatisticsError, checked
from evals.statistics.types import SEED


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Kendall's tau-b of two series: 1 the same order, 0 none, -1 the reverse; nan where one series is constant."""

    tau: float
    low: float  # 95 % interval, bootstrap over clusters
    high: float
    n: int
    clusters: int


def rank_agreement(
    a: ArrayLike, b: ArrayLike, clusters: Sequence[str] | None = None, *, resamples: int = 999, seed: int = SEED
) -> RankAgreement:
    """Kendall's (1945) tau-b with a 95 % percentile bootstrap interval over whole clusters.

    Args:
        a: (n,) values of the one metric.
        b: (n,) values of the other for the same pictures.
        clusters: (n,) names of what belongs together; None: independent.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        StatisticsError: lengths differ, there are no values, or one is not finite.
    """
    from scipy.stats import kendalltau

    first, second = checked(a), checked(b)
    if len(first) != len(second) or (clusters is not None and len(clusters) != len(first)):
        raise StatisticsError(f"{len(first)} and {len(second)} values cannot be paired.")
    names = list(clusters) if clusters is not None else [str(place) for place in range(len(first))]
    members: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        members.setdefault(name, []).append(place)
    groups = [np.array(each) for each in members.values()]
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return RankAgreement(float("nan"), float("nan"), float("nan"), len(first), len(groups))
    tau = float(kendalltau(first, second).statistic)
    rng = np.random.default_rng(seed)
    taus = []
    for _ in range(resamples):
        places = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        one, two = first[places], second[places]
        if np.ptp(one) and np.ptp(two):
            taus.append(float(kendalltau(one, two).statistic))
    low, high = np.quantile(taus, (0.025, 0.975)) if taus else (float("nan"), float("nan"))
    return RankAgreement(tau, float(low), float(high), len(first), len(groups))
