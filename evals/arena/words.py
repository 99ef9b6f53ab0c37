"""A contest's result in sentences: who is preferred to whom, and how far that can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evals.arena.result import ArenaResult, Duel
    from evals.statistics import Estimate


def sentences(result: ArenaResult) -> list[str]:
    """The findings first, one sentence for every two contenders that met, then what they rest on."""
    found = [_duel(duel) for duel in result.duels]
    people = len(result.raters)
    judged = f"{_counted(result.votes, 'vote')} of {_counted(people, 'rater')}, {result.asked} pairs asked of each"
    found.append(f"{judged}; {_counted(result.skipped, 'skip')}.")
    if result.alpha is not None:
        found.append(
            f"Raters agree with Krippendorff's alpha {_interval(result.alpha)}, where 1 is full agreement and 0 chance "
            f"({_counted(result.alpha.n, 'pair')} judged by two or more)."
        )
    elif people > 1:
        found.append("No two raters judged the same pair, so their agreement is not known.")
    else:
        found.append("One rater: how far others agree is not known.")
    if result.steady is not None:
        found.append(f"Pairs shown again got the same answer in {_percent(result.steady)} (n = {result.steady.n}).")
    if result.left is not None:
        found.append(f"Left was chosen in {_percent(result.left)} of the votes for a side (n = {result.left.n}).")
    if result.missing:
        found.append(f"{_counted(result.missing, 'picture')} missing; the pairs were not asked.")
    if result.identical:
        found.append(f"{_counted(result.identical, 'pair')} of equal pictures were not asked and do not count.")
    found.append(
        f"Bradley-Terry ratings, mean 1000, 400 points are odds of 10 to 1; ties count half; {result.prior:g} half-wins of "
        f"prior on each side of a pair; 95 % intervals by bootstrap over prompts ({result.resamples} resamples)."
    )
    return found


def _duel(duel: Duel) -> str:
    share = duel.share
    if share is None:
        return f"{duel.first} and {duel.second} never met."
    if share.low > 0.5 or share.high < 0.5:
        word = "is preferred to" if share.low > 0.5 else "is not preferred to"
    else:
        word = "cannot be told from"
    return (
        f"{duel.first} {word} {duel.second}: it wins {_percent(share)} "
        f"({duel.wins} won, {duel.ties} ties, {duel.losses} lost, {_counted(share.clusters, 'prompt')})."
    )


def _percent(value: Estimate) -> str:
    return f"{100 * value.value:.0f} %, 95 % interval {100 * value.low:.0f} to {100 * value.high:.0f} %"


def _interval(value: Estimate) -> str:
    return f"{value.value:.2f}, 95 % interval {value.low:.2f} to {value.high:.2f}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
