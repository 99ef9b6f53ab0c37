from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from evals.nano_suite import make_suite
from evals.report import confusion, skills, summary, table, write_report
from evals.run import Evaluation, Judged, evaluate_pictures, recipes_for
from evals.scenes.prompt import parse
from evals.scenes.verdict import VERSION
from evals.sheet import drawn_by_lot, worst_cases
from evals.suite import Prompt, Suite, SuiteError, load_suite
from tests.evals.judging import scenes
from workbench.errors import StoreError
from workbench.nano.render import render
from workbench.nano.scenes import is_held_out

OLD_MIX = {"single": 100, "relation": 100, "count": 50, "word": 50}  # of nano-1
RENDERED = scenes(24, seed=61)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Rendered pictures as those of a model that gets every third prompt wrong: it draws the next one instead."""
    prompts = tuple(Prompt(id=f"p{i}", kind=s.kind, prompt=s.prompt) for i, s in enumerate(RENDERED))
    suite = Suite(name="rendered", version=1, about="for tests", prompts=prompts)

    def draw(texts: list[str], seeds: list[int]) -> list[Image.Image]:
        assert len(texts) == len(seeds)
        shown = [RENDERED[(i + 1) % 24] if i % 3 == 0 else scene for i, scene in enumerate(RENDERED)]
        return [Image.fromarray(render(scene)) for scene in shown]

    return evaluate_pictures(draw, suite, name="renderer", settings={"steps": 1})


def test_the_suite_is_what_its_maker_makes() -> None:
    made = make_suite()
    assert load_suite("nano-2").model_copy(update={"folder": ""}) == made


def test_the_suite_is_held_out_and_understood() -> None:
    suite = load_suite("nano-1")
    assert len({each.prompt for each in suite.prompts}) == 300
    for each in suite.prompts:
        assert is_held_out(each.prompt)
        assert parse(each.prompt).kind == each.kind
    assert {kind: sum(each.kind == kind for each in suite.prompts) for kind in OLD_MIX} == OLD_MIX


def test_a_limited_suite_keeps_the_mix_and_the_seeds() -> None:
    suite = load_suite("nano-1")
    few = suite.limited(12)
    assert [each.kind for each in few.prompts] == ["single"] * 4 + ["relation"] * 4 + ["count"] * 2 + ["word"] * 2
    seeds = {recipe.prompt: recipe.seed for recipe in recipes_for(suite, seed=5)}
    assert all(seeds[recipe.prompt] == recipe.seed for recipe in recipes_for(few, seed=5))
    with pytest.raises(SuiteError, match="leaves no prompt"):
        suite.limited(0)


def test_unknown_and_broken_suites_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="Did you mean 'nano-"):
        load_suite("nano-9")
    broken = tmp_path / "broken.json"
    broken.write_text('{"name": "x"}')
    with pytest.raises(SuiteError, match="cannot be read"):
        load_suite(str(broken))
    twice = load_suite("nano-1").model_dump(mode="json")
    twice["prompts"][1]["id"] = twice["prompts"][0]["id"]
    broken.write_text(json.dumps(twice))
    with pytest.raises(SuiteError, match="an id twice"):
        load_suite(str(broken))


def test_figures_carry_count_and_wilson_interval(evaluation: Evaluation) -> None:
    found = {skill.name: skill for skill in skills(evaluation)}
    assert set(found) >= {"background", "single", "relation", "count", "everything"}
    assert "word" not in found  # nothing could read
    for skill in found.values():
        assert skill.value == skill.right / skill.n
        # Wilson (1927), written out
        z, p, n = 1.959963984540054, skill.value, skill.n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert skill.low == pytest.approx(centre - half, abs=1e-9)
        assert skill.high == pytest.approx(centre + half, abs=1e-9)
    assert found["everything"].right == 16  # two of three
    assert (found["single"].right, found["single"].n) == (0, 8)  # the singles are the ones drawn wrongly
    assert (found["relation"].right, found["relation"].n) == (8, 8)


def test_confusion_counts_every_expected_object_once(evaluation: Evaluation) -> None:
    shapes, counts = confusion(evaluation, "shape"), confusion(evaluation, "count")
    assert shapes.to_numpy().sum() == sum(len(scene.items) for scene in RENDERED)
    assert counts.to_numpy().sum() == 24
    assert counts.loc["1", "2"] == 8  # a relation was drawn where one object was asked for
    assert confusion(evaluation, "background").to_numpy().sum() == 24


def test_a_failed_picture_counts_as_not_right(evaluation: Evaluation) -> None:
    first = evaluation.rows[1]
    assert first.verdict is not None
    assert first.verdict.right
    failed = Judged(first.prompt, first.seed, None, None, error="out of memory")
    rows = (failed, *evaluation.rows[2:])
    worse = Evaluation(evaluation.suite, rows, model="renderer")
    found = {skill.name: skill for skill in skills(worse)}
    assert (found["relation"].right, found["relation"].n) == (7, 8)
    assert summary(worse)["failed"] == [{"id": "p1", "error": "out of memory"}]
    assert table(worse)["error"][0] == "out of memory"


def test_sheets_are_drawn_by_lot_and_the_worst_come_first(evaluation: Evaluation) -> None:
    lot = drawn_by_lot(evaluation.rows, 10, seed=3)
    assert lot == drawn_by_lot(evaluation.rows, 10, seed=3)
    assert lot != drawn_by_lot(evaluation.rows, 10, seed=4)
    worst = worst_cases(evaluation.rows)
    assert len(worst) == 8
    assert all(row.verdict and row.verdict.right is False for row in worst)


def test_the_report_is_complete(evaluation: Evaluation, tmp_path: Path) -> None:
    files = write_report(evaluation, tmp_path / "new" / "report")
    assert {path.name for path in files} == {
        "summary.json", "verdicts.parquet", "sheet.png", "worst.png",
        *(f"confusion_{what}.{kind}" for what in ("shape", "colour", "background", "count") for kind in ("csv", "png")),
    }  # fmt: skip
    assert all(path.stat().st_size > 100 for path in files)
    figures = json.loads((tmp_path / "new" / "report" / "summary.json").read_text())
    assert figures["judge"] == {"version": VERSION, "reader": None}
    assert figures["settings"] == {"steps": 1}
    assert all({"value", "n", "low", "high", "direction", "about"} <= skill.keys() for skill in figures["skills"])
    rows = pd.read_parquet(tmp_path / "new" / "report" / "verdicts.parquet")
    assert rows["right"].sum() == 16
    assert rows["prompt"].tolist() == [scene.prompt for scene in RENDERED]
    again = pd.read_csv(tmp_path / "new" / "report" / "confusion_shape.csv", index_col=0)
    assert again.to_numpy().tolist() == confusion(evaluation, "shape").to_numpy().tolist()


def test_no_caption_reaches_over_the_edge(evaluation: Evaluation) -> None:
    from evals.sheet import sheet

    figure = sheet(
        drawn_by_lot(evaluation.rows, 20), title="A title that is so long that it would not fit on one line " * 2
    )
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # the Agg canvas has one
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
    pictures = [axes.get_window_extent(renderer) for axes in figure.axes]
    assert not [1 for box in boxes for other in [*pictures, *(b for b in boxes if b is not box)] if box.overlaps(other)]


def test_a_report_that_cannot_be_written_is_one_sentence(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        write_report(evaluation, tmp_path / "file")
