"""Findings in words: what is shown, what is not, and how sure one can be."""

from __future__ import annotations

import math

from evals.reports.findings import SATURATED, Comparison, Findings, Mean, Measure


def number(value: float, measure: Measure, *, signed: bool = False, unit: bool = False) -> str:
    """A value as people read it: shares in points of 100 with one decimal, others with three digits and their unit."""
    sign = "+" if signed and value > 0 else ""
    if math.isinf(value):
        return "none"
    if measure.share:
        return _minus(f"{sign}{100 * value:.1f}{' points' if unit else ''}")
    digits = 3 - 1 - math.floor(math.log10(abs(value))) if value else 2
    text = f"{sign}{value:.{min(6, max(0, digits))}f}"
    return _minus(f"{text} {measure.metric.unit}".rstrip() if unit else text)


def _minus(text: str) -> str:
    return text.replace("-", "−")


def p_value(p: float) -> str:
    """A p-value as `p < 0.001` or `p = 0.012`."""
    if p < 0.001:
        return "p < 0.001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return f"p = {p:.4f}" if p < 0.05 and text == "0.050" else f"p = {text}"  # it must not seem to miss the level


def interval(low: float, high: float, measure: Measure, *, signed: bool = False) -> str:
    """Both ends, as `3.2 to 9.0`."""
    return f"{number(low, measure, signed=signed)} to {number(high, measure, signed=signed)}"


def honest(comparison: Comparison) -> str:
    """One comparison in one sentence: who is better by how much, or that no difference is shown and what could have been.

    "A is better than B on typography: word accuracy by 6.1 points (95 % interval 3.2 to 9.0, p < 0.001 after Holm's
    correction, n = 120 prompts x 4 seeds)."
    """
    measure, found = comparison.measure, comparison.difference
    better = found.better
    a, b = (comparison.b, comparison.a) if better is False else (comparison.a, comparison.b)
    where = f"{measure.title}{f' ({comparison.kind})' if comparison.kind else ''}"
    tail = f"{p_value(found.p_adjusted)} after Holm's correction, {sample_size(comparison)}"
    if better is None:
        return (
            f"No difference between {a} and {b} is shown on {where}: {number(found.value, measure, signed=True, unit=True)} "
            f"(95 % interval {interval(found.low, found.high, measure, signed=True)}, {tail}). {_findable(comparison)}"
        )
    ends = sorted((abs(found.low), abs(found.high)))
    return (
        f"{a} is better than {b} on {where} by {number(abs(found.value), measure, unit=True)} "
        f"(95 % interval {interval(ends[0], ends[1], measure)}, {tail})."
    )


def _findable(comparison: Comparison) -> str:
    """What the run could have found where it found nothing."""
    detectable = comparison.difference.detectable
    if math.isinf(detectable):
        return "One prompt alone can show no difference."
    if detectable == 0:
        return "All prompts agree, so the run does not tell how small a difference it could have found."
    size = number(detectable, comparison.measure, unit=True)
    return f"The smallest true difference that this run would have found in four of five cases is {size}."


def counted(count: int, what: str) -> str:
    """A count with its noun, as `1 prompt` or `1,200 prompts`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def sample_size(comparison: Comparison) -> str:
    """As `n = 120 prompts x 4 seeds`, and pictures without a partner where there are any."""
    found = comparison.difference
    text = f"n = {counted(found.clusters, 'prompt')} x {counted(comparison.seeds, 'seed')}"
    return text + (
        f", {counted(comparison.dropped, 'picture')} without a partner left out" if comparison.dropped else ""
    )


def single(mean: Mean) -> str:
    """One contender's value with its interval, for runs that compare nothing."""
    found = mean.estimate
    return (
        f"{mean.contender} reaches {number(found.value, mean.measure, unit=True)} on {mean.measure.title} (95 % interval "
        f"{interval(found.low, found.high, mean.measure)}, n = {found.n} pictures of {found.clusters} prompts; "
        f"{mean.measure.metric.direction} is better)."
    )


def headline(findings: Findings) -> list[str]:
    """The main results: every pair of contenders on every scorer's main metric, or the values of a single contender."""
    sentences = [honest(each) for each in findings.comparisons if each.measure.main and not each.kind]
    return sentences or [single(each) for each in findings.means if each.measure.main and not each.kind]


def cautions(findings: Findings) -> list[str]:
    """What a reader must know before believing the numbers: failures, few prompts, saturation, oddities of the suite."""
    found = []
    for count in findings.counts:
        if count.failed:
            what = f"could not be scored by {count.scorer}" if count.scorer else "could not be made"
            reason = f"; most often: {count.reasons[0][0]}" if count.reasons else ""
            found.append(f"{count.contender}: {count.failed} of {count.total} pictures {what}{reason}")
    measured = {mean.measure.scorer.name for mean in findings.means}
    found += [
        f"{each.name} measures nothing here: no prompt of the suite asks for it, or no picture could be scored."
        for each in findings.run.scorers
        if each.name not in measured
    ]
    prompts = len({each.group for each in findings.run.suite.prompts})
    if prompts < 30:
        found.append(f"The suite has {counted(prompts, 'independent prompt')} only; intervals of so few are rough.")
    found += [
        f"{mean.contender} is near the best possible value on {mean.measure.title}: the suite cannot tell it from "
        "something better."
        for mean in findings.means
        if mean.measure.main and not mean.kind and mean.measure.share and _saturated(mean)
    ]
    if not findings.run.paired:
        found.append(
            "Contenders drew with different seeds, so comparisons pair the means of prompts and are less sharp."
        )
    return found + findings.run.suite.remarks()


def _saturated(mean: Mean) -> bool:
    higher = mean.measure.metric.direction == "higher"
    return mean.estimate.low > SATURATED if higher else mean.estimate.high < 1 - SATURATED
