"""A pick in sentences: what to keep, how sure that is, and what could not be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.reports.sentences import p_value

if TYPE_CHECKING:
    from evals.statistics import Difference, Estimate
    from finetune.pick.choose import Values
    from finetune.pick.result import Picked

NAMED = 4  # candidates listed by name


def sentences(picked: Picked) -> list[str]:
    """What was found; the first sentence says what to keep."""
    keep = picked.choice.keep
    if keep is None:
        return _nothing(picked)
    target, control = picked.target, picked.control
    gain = picked.confirmed.gain if picked.confirmed else keep.gain
    drift = picked.confirmed.drift if picked.confirmed else keep.drift
    loss = picked.confirmed.loss if picked.confirmed else keep.loss
    fresh = (
        " Gain, drift and control are measured with fresh seeds, which had no part in the choice."
        if picked.confirmed
        else " The figures come from the pictures that chose it, so they are optimistic."
    )
    lines = [
        (
            f"Keep {keep.candidate.name}: {_change(gain, target)} on {target.title} over the base, "
            f"{_sample(gain, picked.config.seeds)}."
        )
    ]
    if picked.confirmed and gain.better is not True:
        lines.append("With fresh seeds the gain is no longer shown: the choice rests on luck.")
    unrelated = f"Drift on unrelated prompts: {_level(drift)} (1 − SSIM to the base's pictures, 0 is none)"
    if loss is not None and control is not None:
        verdict = {None: "no loss is shown", True: "a gain", False: "a loss"}[loss.better]
        unrelated += f"; {control.title} there changes by {_change(loss, control)}: {verdict}"
    lines.append(f"{unrelated}.{fresh}")
    ties = picked.choice.ties
    if ties:
        names = ", ".join(each.candidate.name for each in ties[:NAMED])
        more = f" and {len(ties) - NAMED} more" if len(ties) > NAMED else ""
        lines.append(
            f"Not distinguishable from the best score: {names}{more}; of these it changes unrelated pictures least."
        )
    harmful = [each.candidate.name for each in picked.choice.judged if not each.admissible]
    if harmful:
        lines.append(f"Left out for a loss on unrelated prompts: {', '.join(harmful)}.")
    return lines


def _nothing(picked: Picked) -> list[str]:
    leader = picked.choice.leader
    if leader is None:
        return ["Keep none: every checkpoint and weight does worse than the base on unrelated prompts."]
    return [
        f"Keep none: no checkpoint and weight is shown to be better than the base on {picked.target.title}.",
        (
            f"The best is {leader.candidate.name} with {_change(leader.gain, picked.target)} "
            f"({_sample(leader.gain, picked.config.seeds)}); "
            f"a true gain of {_amount(leader.gain.detectable, picked.target)} would have been found in four of five cases."
        ),
    ]


def _change(found: Difference, values: Values) -> str:
    """`+21.3 points (95 % interval 12.1 to 30.0, p < 0.0005)`."""
    low, high = _signed(found.low, values), _signed(found.high, values)
    amount = f"{_signed(found.value, values)} points" if values.share else _signed(found.value, values)
    corrected = " after Holm's correction" if found.p_adjusted != found.p else ""
    return f"{amount} (95 % interval {low} to {high}, {p_value(found.p_adjusted)}{corrected})"


def _signed(value: float, values: Values) -> str:
    text = f"{100 * value:+.1f}" if values.share else f"{value:+.3g}"
    return text.replace("-", "−")


def _amount(value: float, values: Values) -> str:
    return f"{100 * value:.1f} points" if values.share else f"{value:.3g}"


def _level(found: Estimate) -> str:
    return f"{found.value:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"


def _sample(found: Difference, seeds: int) -> str:
    return f"{found.clusters} prompts x {seeds} seed{'s' if seeds > 1 else ''}"
