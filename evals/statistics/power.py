"""How much a run can show: the smallest difference it finds, and the prompts that a difference needs."""

from __future__ import annotations

import math

from evals.statistics.intervals import StatisticsError

POWER = 0.8
ALPHA = 0.05


def detectable_difference(spread: float, prompts: int, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """Smallest true mean difference that a paired two-sided test finds with the given power.

    Args:
        spread: standard deviation of the prompts' mean paired differences, 0 or more.
        prompts: independent prompts.
        power: chance to find it, above `alpha` and below 1.
        alpha: false alarms allowed where there is no difference.

    Returns:
        In the metric's unit; infinite for fewer than 2 prompts, 0 where all differences are alike.
    """
    from scipy.optimize import brentq
    from statsmodels.stats.power import TTestPower

    _check(spread, power, alpha)
    if prompts < 2:
        return math.inf
    if spread == 0:
        return 0.0
    test = TTestPower()

    def surplus(effect: float) -> float:
        # scipy's noncentral t is NaN at single points, and everywhere beyond where the power is 1 to many digits.
        tries = (float(test.power(effect * (1 + 1e-5 * nudge), prompts, alpha)) for nudge in range(8))
        return next((found for found in tries if not math.isnan(found)), 1.0) - power

    # statsmodels' own solver does not converge for some numbers of prompts; the power rises with the effect.
    high = 1 / math.sqrt(prompts)
    while surplus(high) < 0:
        high *= 2
    return float(brentq(surplus, 0.0, high)) * spread


def prompts_needed(spread: float, difference: float, *, power: float = POWER, alpha: float = ALPHA) -> int:
    """Independent prompts that find a true mean difference of `difference` with the given power.

    Args:
        spread: standard deviation of the prompts' mean paired differences, 0 or more.
        difference: in the metric's unit, not 0.
        power: chance to find it, above `alpha` and below 1.
        alpha: false alarms allowed where there is no difference.

    Raises:
        StatisticsError: a value out of range.
    """
    from statsmodels.stats.power import TTestPower

    _check(spread, power, alpha)
    if difference == 0:
        raise StatisticsError("No number of prompts shows a difference of 0.", "Name the smallest one that matters.")
    if spread == 0:
        return 2
    test, effect = TTestPower(), abs(difference) / spread
    low, high = 1, 2
    while test.power(effect, high, alpha) < power:  # the power rises with n, so bisection finds the smallest one
        low, high = high, high * 2
        if high > 10**9:
            raise StatisticsError(f"A difference of {difference:g} is too small to be found by any suite.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if test.power(effect, middle, alpha) >= power else (middle, high)
    return high


def spread_with_seeds(between: float, within: float, seeds: int) -> float:
    """Standard deviation of a prompt's mean over `seeds` pictures.

    Args:
        between: standard deviation between prompts, of their true values.
        within: standard deviation between seeds of one prompt.
        seeds: pictures for each prompt.
    """
    return math.sqrt(between**2 + within**2 / seeds)


def _check(spread: float, power: float, alpha: float) -> None:
    if not (spread >= 0 and math.isfinite(spread)):
        raise StatisticsError(f"The standard deviation cannot be {spread}.", "Give a number of 0 or more.")
    if not 0 < alpha < power < 1:
        raise StatisticsError(f"Power {power} and alpha {alpha} do not fit.", "Use 0 < alpha < power < 1.")
