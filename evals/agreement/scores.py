"""Do scorers agree with each other, and with people?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from evals.agreement.measures import AgreementError, Floats, PairwiseAccuracy, pairwise_accuracy
from evals.scoring import Direction
from evals.statistics import Estimate, rank_agreement
from evals.statistics.types import SEED

if TYPE_CHECKING:
    import pandas as pd

    from evals.arena.contest import Contest
    from evals.arena.votes import Vote
    from evals.running.types import EvalRun

Scores = Mapping[tuple[str, str, int], float | None]
"""One metric's value by contender, prompt id and seed; None and absent keys are counted as without a value."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two metrics over the pictures that both have scored."""

    first: str
    second: str
    tau: Estimate | None  # Kendall's tau-b; None where one of them is constant or nothing is shared
    dropped: int  # pictures without a value of one of them


def scorers_agreement(
    frame: pd.DataFrame,
    directions: Mapping[str, Direction],
    *,
    cluster: str = "prompt_id",
    resamples: int = 999,
    seed: int = SEED,
) -> list[Pairing]:
    """Kendall's tau-b of every two metrics, turned so that higher is better in both.

    Args:
        frame: one row for each picture, one column for each metric; missing values are empty.
        directions: the metrics' columns and their directions.
        cluster: column of names that belong together in the resampling.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        AgreementError: a column is not there, or there are fewer than two metrics.
    """
    if absent := [name for name in (*directions, cluster) if name not in frame.columns]:
        raise AgreementError(f"The table has no column {absent[0]!r}.")
    if len(directions) < 2:
        raise AgreementError("Agreement needs two metrics.", "Name another one.")
    found = []
    for first, second in combinations(directions, 2):
        both = frame[[first, second, cluster]].dropna()
        tau = None
        if len(both):
            a, b = (both[name].to_numpy(float) * _sign(directions[name]) for name in (first, second))
            tau = _kendall(a, b, both[cluster].astype(str).tolist(), resamples, seed)
        found.append(Pairing(first, second, tau, len(frame) - len(both)))
    return found


@dataclass(frozen=True, slots=True)
class HumanAgreement:
    """One metric against people's votes.

    Attributes:
        metric: its name.
        accuracy: pairwise accuracy with ties; None where no vote has a value on both sides.
        tau: Kendall's tau-b of the metric's differences with the preferences; None where it is not defined.
        without: votes on pictures that the metric gives no value.
    """

    metric: str
    accuracy: PairwiseAccuracy | None
    tau: Estimate | None
    without: int


def metrics_of(run: EvalRun) -> dict[str, tuple[Direction, Scores]]:
    """Every metric of a run under `scorer.metric`, as `human_agreement` takes them for a contest of `from_run`."""
    return {
        f"{scorer.name}.{metric.name}": (
            metric.direction,
            {
                (cell.contender, cell.prompt_id, cell.seed if run.paired else cell.index): score.values.get(metric.name)
                for cell in run.cells
                if (score := cell.scores.get(scorer.name)) is not None
            },
        )
        for scorer in run.scorers
        for metric in scorer.metrics
    }


def human_agreement(
    contest: Contest,
    votes: Iterable[Vote],
    metrics: Mapping[str, tuple[Direction, Scores]],
    *,
    resamples: int = 999,
    seed: int = SEED,
) -> list[HumanAgreement]:
    """How well each metric repeats what people said in a contest, best first.

    Args:
        contest: what was compared.
        votes: of all raters; skips say nothing, repeats were asked for another reason, and both are left out.
        metrics: by name: the direction, and the value of each contender's picture.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        AgreementError: there is no vote.
    """
    counted = [(vote, vote.outcome) for vote in votes if not vote.pair.repeat]
    said = [(vote.comparison, 2 * outcome - 1) for vote, outcome in counted if outcome is not None]
    if not said:
        raise AgreementError("There is no vote to compare with.", "Let somebody judge a few pairs first.")
    found = []
    for name, (direction, scores) in metrics.items():
        rows = []
        for what, preference in said:
            item = contest.items[what.item]
            keys = [(contest.contenders[place], item.prompt_id, item.seed) for place in (what.first, what.second)]
            first, second = (scores.get(key) for key in keys)
            if first is not None and second is not None:
                rows.append((_sign(direction) * (first - second), preference, item.prompt_id))
        accuracy, tau = None, None
        if rows:
            differences, preferences, names = (list(column) for column in zip(*rows, strict=True))
            accuracy = pairwise_accuracy(differences, preferences, names, resamples=resamples, seed=seed)
            # Which side is "first" means nothing, so every pair counts both ways round.
            metric, human = (np.array([*side, *(-value for value in side)]) for side in (differences, preferences))
            tau = _kendall(metric, human, names * 2, resamples, seed)
            tau = tau and replace(tau, n=tau.n // 2)
        found.append(HumanAgreement(name, accuracy, tau, len(said) - len(rows)))
    return sorted(found, key=lambda each: -1.0 if each.accuracy is None else each.accuracy.accuracy.value, reverse=True)


def _kendall(a: Floats, b: Floats, clusters: list[str], resamples: int, seed: int) -> Estimate | None:
    found = rank_agreement(a, b, clusters, resamples=resamples, seed=seed)
    if np.isnan(found.tau):
        return None
    return Estimate(
        found.tau, found.low, found.high, found.n, found.clusters, method="Kendall tau-b, cluster bootstrap"
    )


def _sign(direction: Direction) -> float:
    return 1.0 if direction == "higher" else -1.0
