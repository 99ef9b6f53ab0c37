"""The regression gate: shut for a real loss, open for noise, and plain about what cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.cli import app
from evals.compare import CompareError, compare_runs
from evals.running import EvalRun, run_suite
from evals.suite import Suite
from tests.evals.runs import GreyScorer, grey_suite, painter


def made(share: float, *, name: str = "m", seeds: int = 2, suite: Suite | None = None, version: str = "1") -> EvalRun:
    """A run of one contender, called the same in every run whatever it draws."""
    contender = replace(painter(f"{name} {share}", share), name=name)
    return run_suite(None, suite or grey_suite(), [contender], seeds=seeds, scorers=[GreyScorer(version=version)])


def test_a_loss_shuts_the_gate_and_a_gain_does_not() -> None:
    good, bad = made(0.95), made(0.5)
    down = compare_runs(good, bad)
    assert not down.passed
    assert down.regressions[0].startswith("m is worse on grey: right: −")
    up = compare_runs(bad, good)
    assert up.passed
    assert up.changes[0].sentence.startswith("m is better on grey: right: +")
    assert compare_runs(good, bad, tolerance=0.9).passed


def test_the_same_run_and_noise_leave_it_open() -> None:
    run = made(0.7)
    same = compare_runs(run, run)
    assert same.passed
    assert not same.notes
    assert {each.difference.value for each in same.changes} == {0.0}


def test_unequal_prompts_are_said_and_left_out() -> None:
    suite = grey_suite(20)
    changed = suite.prompts[3].model_copy(update={"prompt": "something else"})
    other = suite.model_copy(update={"prompts": (*suite.prompts[1:3], changed, *suite.prompts[4:])})
    found = compare_runs(made(0.9, suite=suite), made(0.9, suite=other))
    assert found.notes == (
        "1 prompts are in the old run only and were left out, for example 'p00'.",
        "1 prompts were changed under the same id and were left out, first 'p03'.",
    )
    assert {each.difference.clusters for each in found.changes} == {18}


def test_more_failures_shut_the_gate() -> None:
    contender = replace(painter("m 0.9", 0.9, failing=0.2), name="m")
    failing = run_suite(None, grey_suite(), [contender], seeds=2, scorers=[GreyScorer()])
    found = compare_runs(made(0.9), failing)
    assert any("fails more often" in each for each in found.regressions)


def test_other_seeds_and_names_are_handled() -> None:
    found = compare_runs(made(0.9, name="old"), made(0.9, name="new", seeds=1))
    assert found.notes == ("The runs have 2 and 1 seeds a prompt; those that both have are compared.",)
    assert "new (against old)" in found.changes[0].sentence
    elsewhere = run_suite(None, grey_suite(), [painter("m", 0.9)], seeds=2, scorers=[GreyScorer()], base_seed=7)
    assert "drew with different seeds" in compare_runs(made(0.9), elsewhere).notes[0]


def test_what_has_nothing_in_common_is_refused() -> None:
    run = made(0.9)
    with pytest.raises(CompareError, match="share no prompt"):
        compare_runs(run, made(0.9, suite=grey_suite(3, kinds=("x",))))
    with pytest.raises(CompareError, match=r"no scorer of the same version.*from version 1 to 2"):
        compare_runs(run, made(0.9, version="2"))
    pair = run_suite(None, grey_suite(), [painter("a", 1), painter("b", 1)], seeds=1, scorers=[GreyScorer()])
    with pytest.raises(CompareError, match="share no contender"):
        compare_runs(run, pair)
    with pytest.raises(CompareError, match="tolerance"):
        compare_runs(run, run, tolerance=-1)


def test_the_gate_sets_the_exit_code(tmp_path: Path) -> None:
    for name, share in (("good", 0.95), ("bad", 0.5)):
        made(share).save(tmp_path / name)
    good, bad = str(tmp_path / "good"), str(tmp_path / "bad")
    shut = CliRunner().invoke(app, ["compare", good, bad, "--gate"])
    assert shut.exit_code == 1
    assert "The gate is shut." in shut.output
    assert "Regression: m is worse on grey: right" in shut.output
    assert CliRunner().invoke(app, ["compare", good, bad]).exit_code == 0
    assert CliRunner().invoke(app, ["compare", bad, good, "--gate"]).exit_code == 0
    assert CliRunner().invoke(app, ["compare", bad, str(tmp_path / "none"), "--gate"]).exit_code == 2
