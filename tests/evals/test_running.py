"""Runs: paired seeds, cached pictures, failures as rows, and a folder that gives everything back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import yaml

from evals.running import COLUMNS, Contender, RunError, estimate_run, load_run, run_suite, seed_of
from evals.running.contenders import parse_contenders
from evals.running.files import load_plan
from evals.running.references import open_references
from evals.scoring import Sample, Score
from evals.suite import Prompt, Suite, SuiteError
from tests.conftest import TinyKlein
from tests.evals.runs import GreyScorer, grey_suite, painter
from workbench.engine.events import CancelToken, Finished
from workbench.errors import Cancelled, ModelError, RecipeError, WorkbenchError
from workbench.session import Session


class Taker(GreyScorer):
    """Scores any picture, and remembers the samples."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[Sample] = []

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        self.samples += samples
        return [Score({"right": 1.0}) for _ in samples]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(home=tmp_path / "home", device="cpu", batch_size=8)


def models(tiny: TinyKlein) -> list[Contender]:
    small = {"width": 64, "height": 64}
    return [
        Contender("one", {"model": str(tiny.base), "steps": 1, **small}),
        Contender("two", {"model": str(tiny.base), "steps": 2, **small}),
    ]


PROMPTS = Suite(
    name="two", version=1, about="", prompts=tuple(Prompt(id=k, kind="k", prompt=f"a {k}") for k in ("cat", "dog"))
)


def test_models_draw_the_same_prompts_with_the_same_seeds(session: Session, tiny_klein: TinyKlein) -> None:
    events: list[object] = []
    told: list[tuple[int, int]] = []
    scorer = Taker()
    run = run_suite(
        session, PROMPTS, models(tiny_klein), seeds=2, scorers=[scorer], listen=events.append,
        told=lambda *count: told.append(count),
    )  # fmt: skip
    frame = run.frame()
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 2 * 2 * 2 * 3  # contenders, prompts, seeds, metrics
    seeds = frame.groupby(["prompt_id", "contender"])["seed"].unique().map(tuple)
    assert seeds["cat"]["one"] == seeds["cat"]["two"]
    assert len(seeds["cat"]["one"]) == 2
    assert set(seeds["cat"]["one"]).isdisjoint(seeds["dog"]["one"])
    assert frame["digest"].nunique() == frame["picture_digest"].nunique() == 8
    assert (frame["seconds"] > 0).all()
    assert sum(isinstance(event, Finished) for event in events) == 8
    assert told[-1] == (8, 8)
    assert all(len(each.peers) == 1 and each.cost["seconds"] > 0 for each in scorer.samples)
    assert set(run.weights) == {"one", "two"}
    assert run.environment["device"]

    events.clear()
    before = len(scorer.samples)
    again = run_suite(session, PROMPTS, models(tiny_klein), seeds=2, scorers=[scorer], listen=events.append)
    assert not events
    assert len(scorer.samples) == before
    pd.testing.assert_frame_equal(again.frame(), frame)
    assert estimate_run(session, PROMPTS, models(tiny_klein), seeds=3).stored == 8


def test_a_run_that_was_stopped_resumes(session: Session, tiny_klein: TinyKlein) -> None:
    cancel = CancelToken()

    def stop(event: object) -> None:
        if isinstance(event, Finished):
            cancel.cancel()

    with pytest.raises(Cancelled):
        run_suite(session, PROMPTS, models(tiny_klein), seeds=4, scorers=[Taker()], listen=stop, cancel=cancel)
    left = estimate_run(session, PROMPTS, models(tiny_klein), seeds=4)
    assert 0 < left.stored < left.unique
    run = run_suite(session, PROMPTS, models(tiny_klein), seeds=4, scorers=[Taker()])
    assert not run.frame()["error"].any()


def test_a_damaged_picture_is_made_again(session: Session, tiny_klein: TinyKlein) -> None:
    run = run_suite(session, PROMPTS, models(tiny_klein)[:1], seeds=1, scorers=[Taker()])
    path = session.store.path(run.cells[0].digest)
    path.write_bytes(path.read_bytes()[:100])
    again = run_suite(session, PROMPTS, models(tiny_klein)[:1], seeds=1, scorers=[Taker()])
    assert [cell.picture_digest for cell in again.cells] == [cell.picture_digest for cell in run.cells]


def test_pictures_that_fail_are_rows_with_the_reason(session: Session, tiny_klein: TinyKlein) -> None:
    wide = Contender("wide", {"model": str(tiny_klein.base), "steps": 1, "width": 16 * 4097, "height": 64})
    run = run_suite(session, PROMPTS, [*models(tiny_klein)[:1], wide], seeds=1, scorers=[Taker()])
    frame = run.frame()
    failed = frame[frame["contender"] == "wide"]
    assert failed["error"].str.contains("width").all()
    assert failed["value"].isna().all()
    assert not frame[frame["contender"] == "one"]["error"].any()


def test_an_unknown_model_is_one_error(session: Session) -> None:
    with pytest.raises(ModelError):
        run_suite(session, PROMPTS, [Contender("x", {"model": "no-such-model"})], scorers=[Taker()])


def test_functions_draw_without_a_session() -> None:
    suite = grey_suite()
    run = run_suite(
        None, suite, [painter("good", 0.9), painter("bad", 0.5, failing=0.1)], seeds=3, scorers=[GreyScorer()]
    )
    frame = run.frame()
    means = frame[frame["metric"] == "right"].groupby("contender")["value"].mean()
    assert means["good"] == pytest.approx(0.9, abs=0.1)
    assert means["bad"] == pytest.approx(0.5, abs=0.15)
    assert set(frame[frame["error"] != ""]["error"]) == {"ValueError: the brush broke"}
    assert frame[frame["metric"] == "unasked"]["value"].isna().all()


def test_a_scorer_that_fails_on_one_picture_loses_only_that() -> None:
    suite = grey_suite(10)
    run = run_suite(
        None, suite, [painter("a", 1.0)], seeds=2, scorers=[GreyScorer(fails_on="grey 3 "), GreyScorer("ok")]
    )
    bad = [cell for cell in run.cells if cell.scores["grey"].error]
    assert {cell.prompt_id for cell in bad} == {"p03"}
    assert not any(cell.scores["ok"].error for cell in run.cells)


def test_seeds_follow_from_the_prompt_alone() -> None:
    one, two = grey_suite(2).prompts
    assert seed_of(one, 1) == seed_of(one) + 1 == seed_of(one, base=1)
    assert seed_of(one) != seed_of(two)
    assert seed_of(one, salt="a") != seed_of(one, salt="b")
    unpaired = run_suite(
        None, grey_suite(3), [painter("a", 1), painter("b", 1)], seeds=1, scorers=[GreyScorer()], paired=False
    )
    assert not unpaired.frame().groupby("prompt_id")["seed"].nunique().eq(1).any()


def test_scenes_become_references(session: Session, tiny_klein: TinyKlein) -> None:
    scene = {"background": "white", "items": [{"shape": "circle", "colour": "red", "x": 0.5, "y": 0.5, "radius": 0.3}]}
    prompt = Prompt(id="e", kind="recolour", prompt="make the circle blue", references=(scene,))
    scorer = Taker()
    suite = Suite(name="edits", version=1, about="", prompts=(prompt,))
    drawer = Contender("copy", {}, lambda row, _: open_references(suite, row)[0])
    run_suite(session, suite, [drawer], seeds=1, scorers=[scorer])
    (sample,) = scorer.samples
    assert sample.references[0].size == (128, 128)
    assert sample.references[0].getpixel((64, 64)) == (220, 38, 38)
    bad = suite.model_copy(update={"prompts": (prompt.model_copy(update={"references": ("no.png",)}),)})
    with pytest.raises(SuiteError, match=r"'no\.png' of the prompt 'e' cannot be opened"):
        run_suite(session, bad, [drawer], seeds=1, scorers=[scorer])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"contenders": []}, "nothing to compare"),
        ({"contenders": [painter("a", 1), painter("a", 1)]}, "Two contenders are called 'a'"),
        ({"contenders": [Contender("a", {"prompt": "x"})]}, "sets 'prompt'"),
        ({"contenders": [Contender("a", {"model": "m"})]}, "no session"),
        ({"seeds": 0}, "0 seeds"),
        ({"scorers": []}, "nothing to measure"),
        ({"scorers": ["sceen"]}, "Did you mean 'scene'"),
    ],
)
def test_what_cannot_run_is_refused(change: dict[str, object], says: str) -> None:
    given: dict[str, object] = {"contenders": [painter("a", 1)], "seeds": 1, "scorers": [GreyScorer()]} | change
    contenders = given.pop("contenders")
    with pytest.raises(WorkbenchError, match=says):
        run_suite(None, grey_suite(2), contenders, **given)  # type: ignore[arg-type]


def test_a_wrong_field_is_named(session: Session) -> None:
    with pytest.raises(RecipeError, match="'stepz'"):
        run_suite(session, PROMPTS, [Contender("a", {"stepz": 3})], scorers=[Taker()])


def test_a_folder_gives_the_run_back(tmp_path: Path) -> None:
    run = run_suite(
        None, grey_suite(6), [painter("a", 0.5), painter("b", 0.9, failing=0.3)], seeds=2, scorers=[GreyScorer()]
    )
    files = run.save(tmp_path / "run")
    assert {path.name for path in files} == {"run.yaml", "suite.json", "scores.parquet", "pictures.parquet"}
    back = load_run(tmp_path / "run")
    pd.testing.assert_frame_equal(back.frame(), run.frame())
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run" / "scores.parquet"), run.frame())
    for old, new in zip(run.cells, back.cells, strict=True):
        assert new == old
        before, after = run.picture(old), back.picture(new)
        assert (before is None) == (after is None) == bool(old.error)
        if before is not None and after is not None:
            assert after.tobytes() == before.tobytes()  # small pictures are kept exactly
    assert back.suite.fingerprint == run.suite.fingerprint
    assert "again" not in yaml.safe_load((tmp_path / "run" / "run.yaml").read_text(encoding="utf-8"))
    with pytest.raises(RunError, match="'a' drew by a function"):
        load_plan(tmp_path / "run" / "run.yaml")


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no file .*run\.yaml"):
        load_run(tmp_path)
    run_suite(None, grey_suite(2), [painter("a", 1)], seeds=1, scorers=[GreyScorer()]).save(tmp_path)
    (tmp_path / "pictures.parquet").write_bytes(b"no parquet")
    with pytest.raises(RunError, match="cannot be read"):
        load_run(tmp_path)
    (tmp_path / "run.yaml").write_text("format: 99\n", encoding="utf-8")
    with pytest.raises(RunError, match="no run of this format"):
        load_run(tmp_path)


def test_contenders_are_written_in_one_word_or_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("fast: {model: m, steps: 2}\n", encoding="utf-8")
    texts = ["m", "m,steps=8,guidance_scale=3.5,name=eight", "m,adapters=plain:0.5+folder/other", str(path)]
    found = parse_contenders(texts)
    assert [each.name for each in found] == ["m", "eight", texts[2], "fast"]
    assert found[1].fields == {"model": "m", "steps": 8, "guidance_scale": 3.5}
    assert found[2].fields["adapters"] == [{"name": "plain", "weight": 0.5}, {"name": "folder/other"}]
    assert found[3].fields == {"model": "m", "steps": 2}
    for wrong in ("m,steps", ",steps=2", str(tmp_path / "none.yaml")):
        with pytest.raises(RunError):
            parse_contenders([wrong])
