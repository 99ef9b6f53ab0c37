"""A search finds what is there to be found, resumes where it was killed, and computes nothing twice."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import ImageStat

from evals.scoring import Metric, Sample, Score
from evals.suite import Prompt, Suite
from evals.tune import Space, TuneError, TuneResult, tune
from evals.tune.result import Trial
from evals.tune.search import estimate_tune
from workbench.engine.events import CancelToken, Step
from workbench.errors import Cancelled
from workbench.recipe import Recipe
from workbench.session import Session
from workbench.settings import settings


class Brightness:
    """Mean brightness, and its complement as a metric where lower is better."""

    name, version, reads = "light", "1", ()
    metrics = (Metric("mean"), Metric("dark", direction="lower"), Metric("odd"), Metric("never"))

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        found = []
        for sample in samples:
            mean = ImageStat.Stat(sample.picture.convert("L")).mean[0] / 255
            odd = mean if sample.ask.get("odd") else None
            found.append(Score({"mean": mean, "dark": 1 - mean, "odd": odd, "never": None}))
        return found


SUITE = Suite(
    name="made", version=1, about="for tests",
    prompts=tuple(
        Prompt(id=f"p{place}", kind="ab"[place % 2], prompt=f"a dot number {place}", ask={"odd": bool(place % 2)})
        for place in range(10)
    ),
)  # fmt: skip
SPACE: dict[str, Any] = {
    "recipe": {"model": "tiny-base", "width": 64, "height": 64, "steps": 1, "guidance_scale": 1},
    "suite": "made",
    "objective": {"light.mean": 1},
    "search": {"guidance_scale": {"low": 1, "high": 9, "step": 2}, "checkpoint": ["none", "plain", "scaled"]},
    "trials": 6,
    "prompts": {"first": 2, "factor": 2},
}


@pytest.fixture(scope="module")
def session(tiny_klein: Any, tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    home = tmp_path_factory.mktemp("home")
    (home / "adapters").symlink_to(tiny_home / "adapters")
    return Session(settings(home=home, models=tiny_klein.root, device="cpu"))


def search(session: Session, folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> TuneResult:
    return tune(session, Space.parse(SPACE | (changes or {})), folder, suite=SUITE, scorers=[Brightness()], **options)


@pytest.fixture(scope="module")
def done(session: Session, tmp_path_factory: pytest.TempPathFactory) -> tuple[TuneResult, Path]:
    folder = tmp_path_factory.mktemp("tuned")
    return search(session, folder), folder


def test_the_winner_is_the_best_of_all_trials(done: tuple[TuneResult, Path]) -> None:
    result, _ = done
    assert [each.number for each in result.trials] == list(range(6))
    finished = [each for each in result.trials if each.state == "done"]
    assert result.best.means["objective"] == max(each.means["objective"] for each in finished)
    assert all(each.prompts == result.search_prompts for each in finished)
    assert any(each.state == "stopped early" and each.prompts < result.search_prompts for each in result.trials)
    assert result.best.means["objective"] > result.default["objective"]
    assert result.recipe.steps == 1
    assert len({str(each.params) for each in result.trials}) == 6
    unseen = {each.id for each in result.run.suite.prompts}
    assert len(unseen) == 4
    assert result.compared[0].difference.n == 4
    assert "that the search has not seen" in result.sentence


def test_a_second_search_computes_nothing(done: tuple[TuneResult, Path], session: Session, tmp_path: Path) -> None:
    result, folder = done
    steps: list[object] = []

    def listen(event: object) -> None:
        steps.extend([event] * isinstance(event, Step))

    for place in (folder, tmp_path):  # with its journal, and without
        again = search(session, place, listen=listen)
        assert again.trials == result.trials
        assert again.compared == result.compared
    assert not steps


def test_a_search_that_was_stopped_ends_as_one_that_was_not(
    done: tuple[TuneResult, Path], session: Session, tmp_path: Path
) -> None:
    token, ended = CancelToken(), []

    def tell(trial: Trial) -> None:
        ended.append(trial)
        if len(ended) == 3:
            token.cancel()

    class Breaks(Brightness):
        """Dies in the middle of the fourth trial, as a killed process would."""

        def score(self, samples: Sequence[Sample]) -> list[Score]:
            if len(ended) == 3:
                raise KeyboardInterrupt
            return super().score(samples)

    with pytest.raises((Cancelled, KeyboardInterrupt)):
        search(session, tmp_path, cancel=token, tell=tell)
    with pytest.raises(KeyboardInterrupt):
        tune(session, Space.parse(SPACE), tmp_path, suite=SUITE, scorers=[_fresh(Breaks)])
    told: list[Trial] = []
    result = search(session, tmp_path, tell=told.append)
    assert [each.number for each in told] == [3, 4, 5]
    assert result.trials == done[0].trials


def _fresh(kind: type[Brightness]) -> Brightness:
    """A scorer whose scores are not cached yet."""
    made = kind()
    made.version = "1-fresh"
    return made


def test_more_trials_go_on_and_another_space_is_refused(done: tuple[TuneResult, Path], session: Session) -> None:
    result, folder = done
    longer = search(session, folder, {"trials": 7})
    assert longer.trials[:6] == result.trials
    assert len(longer.trials) == 7
    with pytest.raises(TuneError, match="another search"):
        search(session, folder, {"seed": 5})


def test_weights_and_directions_make_one_objective(session: Session, tmp_path: Path) -> None:
    result = search(
        session,
        tmp_path,
        {
            "objective": {"light.mean": 2, "light.dark": 3, "light.odd": 1},
            "search": {"guidance_scale": [3, 5]},
            "trials": 2,
        },
    )
    for means in (result.default, result.best.means):
        expected = 2 * means["light.mean"] - 3 * means["light.dark"] + means["light.odd"]
        assert means["objective"] == pytest.approx(expected)
    total, mean, dark, odd = result.compared
    assert dark.direction == "lower"
    assert dark.difference.value == pytest.approx(-mean.difference.value)
    assert dark.difference.better is mean.difference.better
    assert odd.difference.n < mean.difference.n
    assert total.best.value == pytest.approx(2 * mean.best.value - 3 * dark.best.value + odd.best.value)


def test_what_cannot_work_is_said_before_the_first_trial(session: Session, tmp_path: Path) -> None:
    for change, message in (
        ({"objective": {"light.brightness": 1}}, "no metric 'brightness'"),
        ({"objective": {"light.never": 1}}, "asks for 'light.never'"),
        ({"recipe": {"model": "absent"}}, "absent"),
        ({"recipe": SPACE["recipe"] | {"width": 72}}, "multiple of 16"),
    ):
        told: list[Trial] = []
        with pytest.raises(Exception, match=message):
            search(session, tmp_path / message[:6].strip("'"), change, tell=told.append)
        assert not told


def test_a_trial_that_fails_is_a_row_with_its_reason(session: Session, tmp_path: Path) -> None:
    result = search(session, tmp_path, {"search": {"checkpoint": ["none", "absent"]}, "trials": 5})
    assert len(result.trials) == 2  # no recipe is tried twice
    assert any("nothing new" in note for note in result.notes)
    failed = [each for each in result.trials if each.state == "failed"]
    assert failed
    assert all("absent" in each.error and each.objective is None for each in failed)
    assert any("trials failed" in note for note in result.notes)
    with pytest.raises(TuneError, match=r"None of 2 trials succeeded: .*absent"):
        search(session, tmp_path / "all", {"search": {"checkpoint": ["absent", "gone"]}, "trials": 2})


def test_the_report_holds_everything(done: tuple[TuneResult, Path]) -> None:
    result, folder = done
    files = {path.name: path for path in result.save(folder)}
    page = (folder / "report.html").read_text()
    assert result.sentence.split(":")[0] in page
    assert not re.findall(r'(?:src|href)="(?!data:|#|held_out/)[^"]*"', page)  # nothing is fetched
    assert "<script" not in page
    trials = pd.read_parquet(files["trials.parquet"])
    assert trials["objective"].max() == result.best.means["objective"]
    scores = pd.read_parquet(files["scores.parquet"])
    assert set(scores["trial"]) >= set(range(6))
    best = scores[(scores.trial == result.best.number) & (scores.metric == "mean")]
    assert best["value"].mean() == pytest.approx(result.best.means["light.mean"])
    text = files["best.yaml"].read_text()
    assert Recipe.from_yaml(text) == result.recipe
    assert yaml.safe_load((folder / "space.yaml").read_text())["trials"] in (6, 7)
    assert (folder / "held_out" / "report.html").is_file()


def test_estimate(session: Session, done: tuple[TuneResult, Path]) -> None:
    estimate = estimate_tune(session, Space.parse(SPACE), SUITE)
    assert (estimate.search, estimate.held_out) == (6, 4)
    assert estimate.pictures == 7 * 6 + 2 * 4
    assert estimate.seconds is not None
    assert estimate.seconds > 0
    json.dumps([each.fields for each in done[0].trials])
