"""What the votes of a contest say: ratings, duels, how far raters agree, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evals.agreement import krippendorff_alpha
from evals.arena.contest import ArenaError, Contest
from evals.arena.ratings import PRIOR, Rating, rate
from evals.arena.votes import Vote, read_votes
from evals.statistics import Estimate, mean_interval, rank_agreement
from evals.statistics.types import SEED

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Duel:
    """Two contenders against each other."""

    first: str
    second: str
    wins: int  # of the first
    ties: int
    losses: int
    share: Estimate | None  # of the first's wins, ties as half; clustered by prompt; None where they never met


@dataclass(frozen=True, slots=True)
class RaterPair:
    """Two raters on the comparisons that both judged."""

    first: str
    second: str
    n: int
    equal: float  # share of equal answers, ties included
    tau: float | None  # Kendall's tau-b of win, tie, loss; None where one of them always says the same


@dataclass(frozen=True, slots=True)
class ArenaResult:
    """Ratings and everything that is needed to judge them.

    Attributes:
        title: of the contest.
        fingerprint: of the contest.
        ratings: best first.
        duels: every two contenders.
        raters: votes by rater, without skips and repeats.
        alpha: Krippendorff's alpha (ordinal) over comparisons that at least two raters judged; None where there are none.
        rater_pairs: every two raters with a shared comparison.
        left: share of left among the votes that chose a side; a half where sides do not matter.
        steady: share of repeated comparisons that got the same answer; None where nothing was repeated.
        skipped: votes that were skips.
        asked: comparisons per rater.
        missing: pictures that were not there.
        identical: pairs of equal pictures, which nobody is asked about.
        prior: half-wins added to both sides of every pair of contenders.
        resamples: of the bootstrap.
    """

    title: str
    fingerprint: str
    ratings: tuple[Rating, ...]
    duels: tuple[Duel, ...]
    raters: dict[str, int]
    alpha: Estimate | None
    rater_pairs: tuple[RaterPair, ...]
    left: Estimate | None
    steady: Estimate | None
    skipped: int
    asked: int
    missing: int
    identical: int
    prior: float
    resamples: int

    @property
    def votes(self) -> int:
        """Votes that count for the ratings."""
        return sum(self.raters.values())

    def frame(self) -> pd.DataFrame:
        """One row for each contender, best first."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.ratings])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self) | {"votes": self.votes, "interval": "95 %", "direction": "higher is better"}


def results(
    contest: Contest,
    votes: Sequence[Vote] | None = None,
    *,
    prior: float = PRIOR,
    resamples: int = 999,
    seed: int = SEED,
) -> ArenaResult:
    """Ratings of a contest with intervals by bootstrap over prompts.

    Args:
        contest: what was compared.
        votes: those that count; None reads the votes of all raters.
        prior: half-wins added to both sides of every pair of contenders; see `ratings.bradley_terry`.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        ArenaError: there is no vote, or a rater's file is damaged.
    """
    given = read_votes(contest) if votes is None else tuple(votes)
    counted = [vote for vote in given if not vote.pair.repeat and vote.choice != "skip"]
    if not counted:
        raise ArenaError("Nobody has voted yet.", "Judge a few pairs first.")
    by_prompt, ties = _wins(contest, counted)
    return ArenaResult(
        title=contest.title,
        fingerprint=contest.fingerprint,
        ratings=tuple(rate(contest.contenders, by_prompt, ties, prior=prior, resamples=resamples, seed=seed)),
        duels=tuple(_duels(contest, counted)),
        raters={name: sum(vote.rater == name for vote in counted) for name in sorted({v.rater for v in counted})},
        alpha=_alpha(contest, counted, resamples, seed),
        rater_pairs=tuple(_rater_pairs(counted)),
        left=_left(contest, counted),
        steady=_steady(contest, given),
        skipped=sum(vote.choice == "skip" for vote in given),
        asked=len(contest.comparisons),
        missing=len(contest.missing),
        identical=contest.identical,
        prior=prior,
        resamples=resamples,
    )


def _wins(contest: Contest, votes: Sequence[Vote]) -> tuple[Floats, Floats]:
    """Wins (prompts, k, k) of the prompts with a vote, and ties (k, k), both with ties on both sides."""
    prompts = {name: place for place, name in enumerate(dict.fromkeys(_prompt(contest, vote) for vote in votes))}
    count = len(contest.contenders)
    wins, ties = np.zeros((len(prompts), count, count)), np.zeros((count, count))
    for vote in votes:
        outcome, what = _outcome(vote), vote.comparison
        wins[prompts[_prompt(contest, vote)], what.first, what.second] += outcome
        wins[prompts[_prompt(contest, vote)], what.second, what.first] += 1 - outcome
        if outcome == 0.5:
            ties[what.first, what.second] += 1
            ties[what.second, what.first] += 1
    return wins, ties


def _duels(contest: Contest, votes: Sequence[Vote]) -> list[Duel]:
    found = []
    for first, second in combinations(range(len(contest.contenders)), 2):
        met = [vote for vote in votes if (vote.comparison.first, vote.comparison.second) == (first, second)]
        outcomes = [_outcome(vote) for vote in met]
        share = mean_interval(outcomes, [_prompt(contest, vote) for vote in met]) if met else None
        names = contest.contenders[first], contest.contenders[second]
        found.append(Duel(*names, outcomes.count(1.0), outcomes.count(0.5), outcomes.count(0.0), share))
    return found


def _alpha(contest: Contest, votes: Sequence[Vote], resamples: int, seed: int) -> Estimate | None:
    units = {what: place for place, what in enumerate(dict.fromkeys(vote.comparison for vote in votes))}
    names = sorted({vote.rater for vote in votes})
    table = np.full((len(names), len(units)), np.nan)
    for vote in votes:
        table[names.index(vote.rater), units[vote.comparison]] = _outcome(vote)
    clusters = [contest.items[what.item].prompt_id for what in units]
    # Which of the two is "first" means nothing, so every comparison counts both ways round; otherwise raters who all
    # prefer one contender would seem to agree by chance.
    both = np.concatenate([table, 1 - table], axis=1)
    found = krippendorff_alpha(both, clusters * 2, level="ordinal", resamples=resamples, seed=seed)
    return found and replace(found, n=found.n // 2)


def _rater_pairs(votes: Sequence[Vote]) -> list[RaterPair]:
    said: dict[str, dict[Any, float]] = {}
    for vote in votes:
        said.setdefault(vote.rater, {})[vote.comparison] = _outcome(vote)
    found = []
    for first, second in combinations(sorted(said), 2):
        shared = [what for what in said[first] if what in said[second]]
        if shared:
            a, b = ([said[name][what] for what in shared] for name in (first, second))
            equal = float(np.mean([x == y for x, y in zip(a, b, strict=True)]))
            both = [[*x, *(1 - y for y in x)] for x in (a, b)]  # both ways round, as in `_alpha`
            tau = rank_agreement(both[0], both[1], resamples=1).tau
            found.append(RaterPair(first, second, len(shared), equal, None if np.isnan(tau) else tau))
    return found


def _left(contest: Contest, votes: Sequence[Vote]) -> Estimate | None:
    chosen = [vote for vote in votes if vote.choice != "tie"]
    if not chosen:
        return None
    return mean_interval([vote.choice == "left" for vote in chosen], [_prompt(contest, vote) for vote in chosen])


def _steady(contest: Contest, votes: Sequence[Vote]) -> Estimate | None:
    before = {(vote.rater, vote.comparison): vote.outcome for vote in votes if not vote.pair.repeat}
    same = [
        (vote.outcome == first, _prompt(contest, vote))
        for vote in votes
        if vote.pair.repeat and vote.outcome is not None
        if (first := before.get((vote.rater, vote.comparison))) is not None
    ]
    return mean_interval([equal for equal, _ in same], [name for _, name in same]) if same else None


def _outcome(vote: Vote) -> float:
    outcome = vote.outcome
    assert outcome is not None  # skips are left out before
    return outcome


def _prompt(contest: Contest, vote: Vote) -> str:
    return contest.items[vote.pair.item].prompt_id
