"""Ratings recover known strengths, agree with other fits, and say what they rest on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evals.arena import ArenaError, Ballot, export, read_votes, results
from evals.arena.ratings import MEAN, SCALE, _fit_many, bradley_terry, expected, rate
from tests.evals.arena_helpers import NAMES, contest_of, judge_all

STRENGTHS = dict(zip(NAMES, (1180.0, 1060.0, 940.0, 820.0), strict=True))


def test_known_strengths_are_inside_the_intervals(tmp_path: Path) -> None:
    contest = contest_of(tmp_path, prompts=150, contenders=4)
    judge_all(contest, "ada", STRENGTHS)
    found = results(contest, resamples=199)
    assert [each.contender for each in found.ratings] == list(NAMES)
    for each in found.ratings:
        assert each.low < STRENGTHS[each.contender] < each.high
        assert each.high - each.low < 120
        assert each.wins + each.ties + each.losses == 450
    assert [(each.rank_low, each.rank_high) for each in found.ratings] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_intervals_hold_what_they_promise_when_votes_come_in_clusters() -> None:
    """Prompts that favour one side: intervals by prompt cover the truth, intervals by vote do not."""
    rng = np.random.default_rng(4)
    prompts, seeds, rounds, spread = 40, 5, 100, 1.5
    grid = np.quantile(rng.logistic(size=200_000), np.linspace(0.001, 0.999, 999))
    true = float(np.mean([np.mean(1 / (1 + np.exp(-(0.8 + spread * g)))) for g in grid]))
    truth = SCALE * np.log(true / (1 - true))  # of the population's mean chance
    covered = naive = 0
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-(0.8 + spread * rng.logistic(size=prompts))))
        won = rng.binomial(seeds, chance).astype(float)
        by_prompt = np.zeros((prompts, 2, 2))
        by_prompt[:, 0, 1], by_prompt[:, 1, 0] = won, seeds - won
        by_vote = np.zeros((prompts * seeds, 2, 2))
        single = np.concatenate([[1.0] * int(w) + [0.0] * int(seeds - w) for w in won])
        by_vote[:, 0, 1], by_vote[:, 1, 0] = single, 1 - single
        for data, clustered in ((by_prompt, True), (by_vote, False)):
            found = rate(("a", "b"), data, np.zeros((2, 2)), prior=0.5, resamples=199, seed=1)
            a = next(each for each in found if each.contender == "a")
            inside = a.low - MEAN < truth / 2 < a.high - MEAN
            covered += clustered and inside
            naive += not clustered and inside
    assert covered >= 84  # of 100
    assert naive < covered - 8


def test_the_fit_is_the_maximum_likelihood_one() -> None:
    """Against a plain minimisation of the negative log-likelihood, as FastChat's rating_systems.fit_bt does it."""
    from scipy.optimize import minimize
    from scipy.special import expit

    rng = np.random.default_rng(0)
    for _ in range(5):
        wins = rng.integers(1, 30, (5, 5)) + rng.choice([0.0, 0.5], (5, 5))
        np.fill_diagonal(wins, 0)

        def loss(x: np.ndarray, wins: np.ndarray = wins) -> float:
            return float(-(wins * np.log(expit(x[:, None] - x[None, :]))).sum())

        best = minimize(loss, np.zeros(5), method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}).x
        reference = MEAN + SCALE * (best - best.mean())
        assert bradley_terry(wins, prior=0) == pytest.approx(reference, abs=1e-2)


def test_resamples_are_fitted_as_the_whole_is() -> None:
    rng = np.random.default_rng(1)
    wins = rng.integers(0, 9, (40, 4, 4)) * rng.integers(0, 2, (40, 4, 4)).astype(float)  # many pairs never met
    wins[0] = 0
    wins[1, 0, 1:], wins[1, 1:, 0] = 500, 0  # and one that lost nothing
    for tables, prior in ((wins, 0.5), (wins[2:] + 1, 1e-2)):
        alone = np.stack([bradley_terry(each, prior=prior) for each in tables])
        assert _fit_many(tables, prior) == pytest.approx(alone, abs=1e-3)


def test_two_contenders_have_a_closed_form() -> None:
    ratings = bradley_terry(np.array([[0.0, 12.5], [3.5, 0.0]]), prior=0.5)
    assert ratings[0] - ratings[1] == pytest.approx(SCALE * np.log(13 / 4))
    assert ratings.mean() == pytest.approx(MEAN)
    assert expected(ratings[0], ratings[1]) == pytest.approx(13 / 17)


def test_who_never_lost_needs_a_prior() -> None:
    wins = np.array([[0.0, 9.0], [0.0, 0.0]])
    with pytest.raises(ArenaError, match="never lost"):
        bradley_terry(wins, prior=0)
    assert np.isfinite(bradley_terry(wins)).all()


def test_ties_are_half_a_win_for_each(tmp_path: Path) -> None:
    contest = contest_of(tmp_path, 8)
    ballot = Ballot(contest, "ada")
    for pair in ballot.pairs:
        ballot.vote(pair.number, "tie")
    found = results(contest, resamples=19)
    assert [each.rating for each in found.ratings] == pytest.approx([1000, 1000])
    assert [(each.wins, each.ties, each.losses) for each in found.ratings] == [(0, 8, 0)] * 2
    assert found.duels[0].share is not None
    assert found.duels[0].share.value == 0.5
    assert found.left is None


def test_everything_that_was_left_out_is_said(tmp_path: Path) -> None:
    contest = contest_of(tmp_path, 10, repeats=4)
    ballot = Ballot(contest, "ada")
    with pytest.raises(ArenaError, match="Nobody has voted"):
        results(contest)
    for pair in ballot.pairs:
        good = "left" if pair.left == 0 else "right"
        if pair.number == 2:
            ballot.vote(pair.number, "skip")
        elif pair.repeat and pair.number == ballot.pairs[-1].number:
            ballot.vote(pair.number, "tie")
        else:
            ballot.vote(pair.number, good)  # type: ignore[arg-type]
    found = results(contest, resamples=19)
    assert found.votes == 9
    assert found.skipped == 1
    assert found.asked == 10
    assert found.steady is not None
    assert found.steady.n in (3, 4)  # a repeat of the skipped pair has nothing to be compared with
    assert found.steady.value == pytest.approx(1 - 1 / found.steady.n)
    assert found.left is not None
    assert 0.3 < found.left.value < 0.7
    assert found.alpha is None  # one rater
    assert found.ratings[0].contender == NAMES[0]
    assert found.ratings[0].wins == 9


def test_who_always_says_left_is_seen(tmp_path: Path) -> None:
    contest = contest_of(tmp_path, 30)
    ballot = Ballot(contest, "ada")
    for pair in ballot.pairs:
        ballot.vote(pair.number, "left")
    found = results(contest, resamples=99)
    assert found.left is not None
    assert found.left.value == 1
    assert found.left.low > 0.8
    assert all(each.low < 1000 < each.high for each in found.ratings)  # the sides are balanced, so nobody gains


def test_raters_who_agree_and_raters_who_do_not(tmp_path: Path) -> None:
    clear = contest_of(tmp_path / "clear", 30, 3)
    apart = {NAMES[0]: 2500.0, NAMES[1]: 1000.0, NAMES[2]: -500.0}
    judge_all(clear, "ada", apart, seed=1)
    judge_all(clear, "bo", apart, seed=2)
    found = results(clear, resamples=99)
    assert found.alpha is not None
    assert found.alpha.value == 1
    assert found.rater_pairs[0].n == 90
    assert found.rater_pairs[0].equal == 1
    assert found.rater_pairs[0].tau == pytest.approx(1)
    noise = contest_of(tmp_path / "noise", 60, 2)
    for seed, rater in enumerate(("ada", "bo", "cy")):
        judge_all(noise, rater, dict.fromkeys(NAMES, 1000.0), ties=0.2, seed=seed)
    other = results(noise, resamples=99)
    assert other.alpha is not None
    assert other.alpha.low < 0 < other.alpha.high
    assert other.raters == {"ada": 60, "bo": 60, "cy": 60}


def test_export_gives_every_vote_and_the_same_ratings(tmp_path: Path) -> None:
    contest = contest_of(tmp_path / "contest", 6, 3)
    judge_all(contest, "ada", STRENGTHS, ties=0.3)
    Ballot(contest, "bo").vote(0, "skip")
    found = results(contest, resamples=49)
    files = {path.name: path for path in export(contest, tmp_path / "out", found)}
    votes = pd.read_parquet(files["votes.parquet"])
    assert len(votes) == len(read_votes(contest)) == 19
    assert len(pd.read_csv(files["votes.csv"])) == 19
    assert set(votes["left"]) | set(votes["right"]) == set(NAMES[:3])
    chosen = votes[votes.choice == "left"]
    assert (chosen["winner"] == chosen["left"]).all()
    told = json.loads(files["result.json"].read_text())
    assert [each["contender"] for each in told["ratings"]] == pd.read_csv(files["ratings.csv"]).contender.tolist()
    assert told["votes"] == 18
    assert told["skipped"] == 1
