"""Results of statistics: a value never travels without its interval, count and direction."""

from __future__ import annotations

from dataclasses import dataclass

from evals.scoring import Direction

LEVEL = 0.95
"""Confidence level of every interval."""
RESAMPLES = 9_999
"""Bootstrap resamples and permutations; odd, so that p-values are multiples of 1/10,000."""
SEED = 20261122
"""Of every resampling: the same scores give the same interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval.

    Attributes:
        value: mean over all pictures that have the metric.
        low: lower end of the interval.
        high: upper end.
        n: pictures.
        clusters: independent prompts (or groups of variants) among them.
        direction: whether higher or lower is better.
        version: of the scorer.
        method: "Wilson" or "cluster bootstrap".
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int
    direction: Direction = "higher"
    version: str = ""
    method: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean paired difference `a - b` with its 95 % interval and test.

    Attributes:
        value: mean of `a - b` over pairs.
        low: lower end of the paired cluster bootstrap interval.
        high: upper end.
        p: two-sided p-value of the paired permutation test.
        p_adjusted: after Holm's correction within its family; equal to `p` for a family of one.
        n: pairs.
        clusters: independent prompts among them.
        effect: mean difference of prompts over its standard deviation (Cohen's d for pairs); 0 where all are equal.
        detectable: smallest true difference that a test of this size finds in 80 % of runs at 5 %.
        direction: whether higher or lower is better.
    """

    value: float
    low: float
    high: float
    p: float
    p_adjusted: float
    n: int
    clusters: int
    effect: float
    detectable: float
    direction: Direction = "higher"

    @property
    def better(self) -> bool | None:
        """True where `a` is shown to be better, False where worse, None where no difference is shown.

        Shown means: the adjusted p-value is below 5 % and the interval excludes 0.
        """
        if self.p_adjusted >= 1 - LEVEL or self.low <= 0 <= self.high:
            return None
        return (self.value > 0) == (self.direction == "higher")
