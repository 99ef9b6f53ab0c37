"""Is A better than B? Paired intervals and tests over shared prompts and seeds, corrected for asking many questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from evals.scoring import Direction
from evals.statistics.intervals import Floats, StatisticsError, bootstrap_interval, by_cluster, checked, share_interval
from evals.statistics.power import detectable_difference
from evals.statistics.types import LEVEL, RESAMPLES, SEED, Difference


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[str] | None = None,
    *,
    direction: Direction = "higher",
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Difference:
    """Mean of `a - b` with a paired cluster bootstrap interval and a paired permutation test.

    The test swaps A and B of whole clusters at random (all ways where there are at most 13 clusters): under the null
    hypothesis that the label does not matter every swap is as likely. Where all differences of values within 0 to 1 are
    alike, the bootstrap has nothing to say, and the interval allows for prompts of another kind that were not met.
    Swapping `a` and `b` negates value, interval and effect and leaves p.

    Args:
        a: (n,) values of the one side.
        b: (n,) values of the other, pair by pair.
        clusters: (n,) names; pairs with equal names belong together, for example the prompt. None: independent.
        direction: whether higher or lower is better; kept in the result.
        resamples: bootstrap resamples and permutations.
        seed: of both.

    Raises:
        StatisticsError: lengths differ, there are no values, or one is not finite.
    """
    first, second = checked(a), checked(b)
    if len(first) != len(second):
        raise StatisticsError(f"{len(first)} and {len(second)} values cannot be paired.")
    sums, counts = by_cluster(first - second, clusters)
    means = sums / counts
    spread = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    value = float(sums.sum() / counts.sum())
    low, high = bootstrap_interval(sums, counts, resamples=resamples, seed=seed)
    if low == high and min(first.min(), second.min()) >= 0 and max(first.max(), second.max()) <= 1:
        # All prompts agree. What is not seen in n prompts may still happen in Wilson's upper end of 0 in n.
        unseen = share_interval(0, len(means))[1]
        low, high = max(-1.0, value - unseen), min(1.0, value + unseen)
    p = _permutation(sums, resamples, seed)
    effect = float(means.mean()) / spread if spread > 0 else 0.0
    detectable = detectable_difference(spread, len(means))
    return Difference(value, low, high, p, p, len(first), len(means), effect, detectable, direction)


def _permutation(sums: Floats, resamples: int, seed: int) -> float:
    """Two-sided p-value of a mean of 0, flipping the signs of clusters."""
    from scipy.stats import permutation_test

    if len(sums) < 2 or not sums.any():
        return 1.0  # one prompt swapped is as extreme as it is

    def mean(x: Floats, axis: int = -1) -> Floats:
        return np.asarray(x.mean(axis=axis))

    # With one sample, "samples" flips signs: the paired test on differences.
    found = permutation_test(
        (sums,), mean, permutation_type="samples", vectorized=True, n_resamples=resamples,
        batch=max(1, 2_000_000 // len(sums)), rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.pvalue)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """The differences of one family of tests with `p_adjusted` by Holm's (1979) step-down correction.

    The chance that any of the family's true null hypotheses is rejected stays below 5 %.
    """
    from statsmodels.stats.multitest import multipletests

    if not differences:
        return []
    adjusted = multipletests([each.p for each in differences], alpha=1 - LEVEL, method="holm")[1]
    return [replace(each, p_adjusted=float(p)) for each, p in zip(differences, adjusted, strict=True)]
