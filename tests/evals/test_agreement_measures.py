"""Agreement of raters, of scorers, and of scorers with people: against known values and other definitions."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from evals.agreement import (
    AgreementError,
    human_agreement,
    krippendorff_alpha,
    pairwise_accuracy,
    scorers_agreement,
)
from evals.arena import Contest, read_votes
from tests.evals.arena_helpers import NAMES, contest_of, judge_all

NAN = float("nan")
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section D: 4 observers, 12 units.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]


@pytest.mark.parametrize(
    ("level", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_is_the_published_one(level: str, value: float) -> None:
    found = krippendorff_alpha(PUBLISHED, level=level, resamples=49)  # type: ignore[arg-type]
    assert found is not None
    assert found.value == pytest.approx(value, abs=6e-4)
    assert found.n == 11  # one unit has a single rating
    assert found.low <= found.value <= found.high


def test_alpha_of_chance_and_of_nothing() -> None:
    rng = np.random.default_rng(0)
    noise = krippendorff_alpha(rng.integers(0, 3, (3, 300)), resamples=99)
    assert noise is not None
    assert noise.low < 0 < noise.high
    assert krippendorff_alpha([[1, 1, 1], [1, 1, 1]]) is None
    assert krippendorff_alpha([[1, 2, NAN], [NAN, NAN, 2]]) is None
    with pytest.raises(AgreementError):
        krippendorff_alpha([[1, 2], [1, 2]], clusters=["a"])


def brute_force(metric: np.ndarray, human: np.ndarray) -> float:
    """The best share over every threshold, pair by pair."""
    thresholds = [0.0, *np.abs(metric)]
    return max(float(np.mean(np.where(np.abs(metric) <= t, 0, np.sign(metric)) == human)) for t in thresholds)


def test_accuracy_is_the_best_over_all_thresholds() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        n = int(rng.integers(1, 30))
        metric = rng.choice([rng.normal(size=n), rng.integers(-2, 3, n).astype(float)])
        human = rng.integers(-1, 2, n)
        found = pairwise_accuracy(metric, human, resamples=5)
        assert found.accuracy.value == pytest.approx(brute_force(metric, human))
        again = np.where(np.abs(metric) <= found.threshold, 0, np.sign(metric))
        assert np.mean(again == human) == pytest.approx(found.accuracy.value)


def test_accuracy_of_perfect_constant_and_reversed_metrics() -> None:
    human = np.array([1, -1, 0, 1, -1, 0, 1, 1] * 5)
    perfect = pairwise_accuracy(human * 2.5, human, resamples=99)
    assert perfect.accuracy.value == perfect.accuracy.low == 1
    assert perfect.threshold < 2.5
    constant = pairwise_accuracy(np.zeros(40), human, resamples=99)
    assert constant.accuracy.value == pytest.approx(0.25)  # the ties
    assert constant.baseline == pytest.approx(0.375)  # a coin is right in half of the others
    assert pairwise_accuracy(-human * 2.5, human, resamples=99).accuracy.value <= 0.25
    for bad in ([1, 2], [1, NAN]):
        with pytest.raises(AgreementError):
            pairwise_accuracy(bad, [1])
    with pytest.raises(AgreementError, match="preference"):
        pairwise_accuracy([1.0], [2])


def test_scorers_that_say_the_same_and_scorers_that_do_not() -> None:
    rng = np.random.default_rng(5)
    quality = np.repeat(rng.normal(size=40), 2)
    frame = pd.DataFrame(
        {
            "prompt_id": np.repeat([f"p{n}" for n in range(40)], 2),
            "good": quality + rng.normal(size=80) * 0.3,
            "errors": -quality + rng.normal(size=80) * 0.3,
            "noise": rng.normal(size=80),
            "same": 1.0,
        }
    )
    frame.loc[:3, "noise"] = NAN
    found = {
        (each.first, each.second): each
        for each in scorers_agreement(
            frame, {"good": "higher", "errors": "lower", "noise": "higher", "same": "higher"}, resamples=99
        )
    }
    assert len(found) == 6
    tau = found["good", "errors"].tau
    assert tau is not None
    assert tau.value == pytest.approx(kendalltau(frame["good"], -frame["errors"]).statistic)
    assert tau.low > 0.4
    noise = found["good", "noise"]
    assert noise.dropped == 4
    assert noise.tau is not None
    assert noise.tau.low < 0 < noise.tau.high
    assert found["good", "same"].tau is None  # a constant orders nothing
    with pytest.raises(AgreementError, match="no column"):
        scorers_agreement(frame, {"good": "higher", "bad": "lower"})
    with pytest.raises(AgreementError, match="two metrics"):
        scorers_agreement(frame, {"good": "higher"})


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Contest:
    """Two raters who see the strengths clearly."""
    contest = contest_of(tmp_path_factory.mktemp("contest"), prompts=20, contenders=3)
    for seed, rater in enumerate(("ada", "bo")):
        judge_all(contest, rater, dict(zip(NAMES, (1600.0, 1000.0, 400.0, 0.0), strict=True)), ties=0.1, seed=seed)
    return contest


def test_a_metric_that_follows_people_is_told_from_one_that_does_not(judged: Contest) -> None:
    rng = np.random.default_rng(1)
    keys = list(product(NAMES[:3], [f"p{n}" for n in range(20)], [0]))
    follows = {key: -float(NAMES.index(key[0])) + rng.normal() * 0.1 for key in keys}
    errors: dict[tuple[str, str, int], float | None] = {key: -value for key, value in follows.items()}
    errors |= {key: None for key in keys if key[1] == "p0"}
    blind = {key: rng.normal() for key in keys}
    found = human_agreement(
        judged,
        read_votes(judged),
        {
            "blind": ("higher", blind),
            "follows": ("higher", follows),
            "errors": ("lower", errors),
            "none": ("higher", {}),
        },
        resamples=99,
    )
    assert found[-1].metric == "none"
    assert found[-1].accuracy is None
    assert found[-1].without == 120
    by_name = {each.metric: each for each in found}
    good = by_name["follows"].accuracy
    assert good is not None
    assert good.accuracy.low > good.baseline + 0.2
    assert good.accuracy.n == 120
    assert good.accuracy.clusters == 20
    assert by_name["follows"].tau is not None
    assert by_name["follows"].tau.low > 0.4
    assert by_name["errors"].without == 6  # three pairs of one prompt, two raters
    other = by_name["blind"]
    assert other.tau is not None
    assert other.tau.low < 0 < other.tau.high
    assert other.accuracy is not None
    assert other.accuracy.accuracy.value < good.accuracy.low


def test_no_votes_no_agreement(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    with pytest.raises(AgreementError, match="no vote"):
        human_agreement(contest, read_votes(contest), {"a": ("higher", {})})
