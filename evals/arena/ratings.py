"""Bradley-Terry ratings: one strength per contender from who was preferred to whom.

The chance that contender i is preferred to j is 1 / (1 + 10^((rating_j - rating_i) / 400)), as in chess and in Chatbot
Arena; a tie is half a win for each. The mean rating is 1000. Fitted as a logistic regression by statsmodels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evals.arena.contest import ArenaError

Floats = NDArray[np.float64]

SCALE = 400 / math.log(10)  # rating points of one unit of log-odds
MEAN = 1000.0
PRIOR = 0.5


@dataclass(frozen=True, slots=True)
class Rating:
    """One contender's rating. Higher is better; 400 points are odds of 10 to 1."""

    contender: str
    rating: float
    low: float  # 95 % interval, percentile bootstrap over prompts
    high: float
    rank_low: int  # best rank in 95 % of the resamples, 1 is first
    rank_high: int  # worst
    wins: int
    ties: int
    losses: int


def bradley_terry(wins: Floats, *, prior: float = PRIOR) -> Floats:
    """Maximum likelihood ratings (Bradley and Terry 1952), mean 1000.

    `prior` half-wins are added to both sides of every pair of contenders. With 0.5 and two contenders this is Haldane's
    and Anscombe's (1956) correction, which takes most of the bias out of the log-odds; it also keeps ratings finite
    where somebody won or lost everything. 0 gives the plain estimate, as FastChat's `fit_bt` does.

    Args:
        wins: (k, k); `wins[i, j]` counts how often i was preferred to j, ties as 0.5 on both sides.
        prior: 0 or more.

    Returns:
        (k,) ratings.

    Raises:
        ArenaError: with a prior of 0, some contenders never lost to the others, so that no finite rating fits.
    """
    import statsmodels.api as sm

    count = len(wins)
    pairs = list(combinations(range(count), 2))
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    outcomes = np.stack([wins[first, second], wins[second, first]], axis=1) + prior  # (pairs, 2)
    if prior == 0:
        _check_connected(wins)
    design = np.zeros((len(pairs), count))
    design[np.arange(len(pairs)), first], design[np.arange(len(pairs)), second] = 1.0, -1.0
    # Each pair is two rows, won and lost, weighted by their counts. The last contender is the zero point of the fit.
    won, weights = np.tile([1.0, 0.0], len(pairs)), outcomes.ravel()
    rows = np.repeat(design[:, :-1], 2, axis=0)[weights > 0]
    model = sm.GLM(won[weights > 0], rows, family=sm.families.Binomial(), freq_weights=weights[weights > 0])
    fit = model.fit(tol=1e-10)
    strength = np.append(fit.params, 0.0)
    return np.asarray(MEAN + SCALE * (strength - strength.mean()))


def expected(rating: float, other: float) -> float:
    """The chance that a contender of `rating` is preferred to one of `other`."""
    return 1 / (1 + 10 ** ((other - rating) / 400))


def rate(
    contenders: tuple[str, ...], by_prompt: Floats, ties: Floats, *, prior: float, resamples: int, seed: int
) -> list[Rating]:
    """Ratings with intervals, best first.

    Args:
        contenders: (k,) names.
        by_prompt: (prompts, k, k) wins, ties as 0.5 on both sides.
        ties: (k, k) ties, both ways.
        prior: as in `bradley_terry`.
        resamples: bootstrap resamples of whole prompts.
        seed: of the resampling.
    """
    total = by_prompt.sum(axis=0)
    ratings = bradley_terry(total, prior=prior)
    rng = np.random.default_rng(seed)
    prompts = len(by_prompt)
    drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)  # (resamples, prompts)
    samples = np.tensordot(drawn.astype(float), by_prompt, axes=1)  # (resamples, k, k)
    fits = _fit_many(samples, max(prior, 1e-3))  # (resamples, k); a resample may lack the votes that keep it finite
    low, high = np.quantile(fits, (0.025, 0.975), axis=0)
    ranks = 1 + (fits[:, None, :] > fits[:, :, None]).sum(axis=2)  # (resamples, k)
    rank_low, rank_high = np.quantile(ranks, (0.025, 0.975), axis=0, method="inverted_cdf")
    found = [
        Rating(
            name, float(ratings[i]), float(low[i]), float(high[i]), int(rank_low[i]), int(rank_high[i]),
            wins=round(total[i].sum() - ties[i].sum() / 2), ties=round(ties[i].sum()),
            losses=round(total[:, i].sum() - ties[i].sum() / 2),
        )
        for i, name in enumerate(contenders)
    ]  # fmt: skip
    return sorted(found, key=lambda each: -each.rating)


def _fit_many(wins: Floats, prior: float) -> Floats:
    """`bradley_terry` for many tables at once, by Newton's method; a test holds it equal to statsmodels' fit.

    Args:
        wins: (n, k, k).
        prior: above 0, so that every table has a finite estimate.

    Returns:
        (n, k) ratings.
    """
    from scipy.special import expit

    count = wins.shape[1]
    counts = (wins + prior) * (1 - np.eye(count))  # nobody meets themselves
    met = counts + counts.transpose(0, 2, 1)
    strength = np.zeros(wins.shape[:2])
    for _ in range(200):
        chance = expit(strength[:, :, None] - strength[:, None, :])  # (n, k, k): i is preferred to j
        slope = (counts - met * chance).sum(axis=2)
        weight = met * chance * (1 - chance)
        curvature = np.eye(count) * weight.sum(axis=2)[:, :, None] - weight
        step = np.linalg.solve(curvature + 1 / count, slope[:, :, None])[:, :, 0]  # the constant fixes the mean at 0
        strength += np.clip(step, -2, 2)  # from far away a full step may overshoot
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(MEAN + SCALE * strength)


def _check_connected(wins: Floats) -> None:
    """A finite estimate exists only where everybody is preferred to everybody through a chain (Ford 1957)."""
    from scipy.sparse.csgraph import connected_components

    if connected_components(wins > 0, directed=True, connection="strong")[0] > 1:
        raise ArenaError(
            "Somebody never lost (or never met the others), so no finite rating fits.", "Use a prior above 0."
        )
