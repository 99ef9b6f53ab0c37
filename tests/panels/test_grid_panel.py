"""The grid panel without a browser: type axes, run, look at states, open a cell."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workbench.engine.events import Step
from workbench.grid import FieldAxis, Grid
from workbench.panels.grid import GridPanel
from workbench.panels.worker import worker_of
from workbench.recipe import Recipe
from workbench.session import Session

WAIT = 120.0  # seconds; only a hang reaches it


def four(small: Recipe, seed: int, **changes: Any) -> Grid:
    axes = [{"field": "steps", "values": "1, 2"}, {"replace": "red", "values": "red, blue"}]
    return Grid(small.replace(seed=seed), axes, **changes)


@pytest.fixture
def panel(session: Session, small: Recipe, request: pytest.FixtureRequest) -> Iterator[GridPanel]:
    seed = 1000 + sum(map(ord, request.node.name))  # pictures of its own for every test
    made = GridPanel(session, four(small, seed))
    yield made
    made.close()


def run(panel: GridPanel) -> None:
    panel.run_button.click()
    assert panel.wait(WAIT)


def test_the_editors_show_the_grid_and_what_it_costs(panel: GridPanel, session: Session) -> None:
    assert panel.wait(WAIT)
    assert panel.grid == panel._first
    assert str(panel.grid.summary(session)) in panel.summary.value
    assert panel.summary.value.startswith("4 cells, 4 pictures, 0 stored already")
    panel.editor.seeds.value = "1-3"
    assert panel.wait(WAIT)
    assert "12 pictures" in panel.summary.value


def test_run_fills_the_wall_and_a_second_run_computes_nothing(panel: GridPanel, session: Session) -> None:
    run(panel)
    assert panel.banner.text == ""
    assert panel.view.states == "dddd"
    assert panel.result is not None
    assert (panel.result.computed, panel.result.reused) == (4, 0)
    assert "4 made" in panel.status.value
    assert "nothing to compute" in panel.summary.value
    run(panel)
    assert panel.view.states == "uuuu"
    assert (panel.result.computed, panel.result.reused) == (0, 4)
    expected = session.generate(panel.grid.expand().cells[3].recipes[0])
    assert panel._picture(3) is not None
    assert expected.picture is not None
    assert panel._picture(3).tobytes() == expected.picture.tobytes()  # type: ignore[union-attr]


def test_seeds_stand_side_by_side(panel: GridPanel) -> None:
    panel.editor.seeds.value = "5, 6"
    run(panel)
    assert panel.view.grid["seeds"] == ["5", "6"]
    assert panel.view.states == "d" * 8
    panel.view.selected = 3  # second cell, second seed
    assert panel.detail.recipe == panel.grid.expand().cells[1].recipes[1]


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [("steps", "", "empty"), ("steps", "0", "steps"), ("steps", "many", "'many'"), ("width", "64, 100", "multiple")],
)
def test_a_bad_axis_is_told_at_once(panel: GridPanel, session: Session, field: str, typed: str, words: str) -> None:
    gate = threading.Event()
    worker_of(session).submit("a long grid", lambda token: gate.wait(WAIT))
    panel.editor.rows[0].kind.value = field
    panel.editor.rows[0].values.value = typed
    panel.run_button.click()
    assert panel.wait(WAIT)  # although the worker is busy
    gate.set()
    assert words in panel.banner.text
    assert words in unescape(panel.summary.value)
    assert panel.view.states == ""
    assert panel.result is None


def test_an_absent_search_text_and_a_huge_grid_are_refused(panel: GridPanel) -> None:
    panel.editor.rows[1].target.value = "purple"
    run(panel)
    assert "'purple' is neither in the prompt" in panel.banner.text
    panel.editor.rows[1].target.value = "red"
    panel.editor.rows[0].values.value = "1-1000"
    panel.editor.seeds.value = "0-9999"
    run(panel)
    assert "20,000,000 pictures" in panel.banner.text


def test_a_failed_cell_shows_its_error_and_the_rest_goes_on(panel: GridPanel, session: Session) -> None:
    digest = panel.grid.expand(session.catalog).cells[1].resolved[0].digest
    folder = session.store.path(digest).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder of this picture should be")
    try:
        run(panel)
    finally:
        folder.unlink()
    assert panel.view.states.count("f") >= 1
    assert panel.view.states[1] == "f"
    assert "d" in panel.view.states
    panel.view.selected = 1
    assert panel.view.errors["1"] in unescape(panel.detail.text.value)
    assert panel.detail.picture.layout.display == "none"
    run(panel)
    assert "f" not in panel.view.states


def test_cancel_keeps_what_is_done_and_run_goes_on(panel: GridPanel) -> None:
    panel.editor.rows[0].values.value = "1, 1000"
    begun = threading.Event()
    post = panel.post

    def listen(key: str, value: Any) -> None:
        if isinstance(value, Step) and value.steps == 1000 and value.step > 1:
            begun.set()
        post(key, value)

    panel.post = listen  # type: ignore[method-assign]
    panel.run_button.click()
    assert begun.wait(WAIT)
    panel.cancel_button.click()
    assert panel.wait(WAIT)
    assert panel.result is not None
    assert panel.result.cancelled
    assert "r" not in panel.view.states
    assert "Run goes on from there" in panel.status.value
    assert panel.cancel_button.disabled
    panel.editor.rows[0].values.value = "1"
    run(panel)
    assert panel.result.failed == panel.result.pending == 0


def test_an_open_cell_shows_picture_place_and_recipe(panel: GridPanel) -> None:
    run(panel)
    panel.view.selected = 2
    recipe = panel.grid.expand().cells[2].recipes[0]
    assert panel.detail.layout.display == "flex"
    assert "Steps = 2" in panel.detail.text.value
    assert f"seed: {recipe.seed}" in panel.detail.text.value
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    shown = Image.open(io.BytesIO(panel.detail.picture.value)).convert("RGB")
    assert shown.tobytes() == panel._picture(2).tobytes()  # type: ignore[union-attr]
    panel.detail.close_button.click()
    assert panel.detail.layout.display == "none"


def test_a_new_seed_is_made_beside_the_grid(panel: GridPanel) -> None:
    run(panel)
    states = panel.view.states
    panel.view.selected = 1
    before = panel.detail.recipe
    panel.detail.again_button.click()
    assert panel.wait(WAIT)
    assert panel.detail.variation.layout.display != "none"
    assert panel.detail.recipe is not None
    assert before is not None
    assert panel.detail.recipe.seed != before.seed
    assert panel.detail.recipe.replace(seed=before.seed) == before
    assert panel.view.states == states


def test_a_cell_goes_to_the_generation_panel(panel: GridPanel) -> None:
    run(panel)
    panel.view.selected = 0
    panel.detail.send_button.click()
    assert panel.generation is not None
    assert panel.generation.form.recipe == panel.detail.recipe
    panel.view.selected = 3
    panel.detail.send_button.click()
    assert panel.generation.form.recipe == panel.detail.recipe


def test_saving_writes_all_files_and_says_where(panel: GridPanel, tmp_path: Path) -> None:
    panel.save_button.click()
    assert "no grid to save" in panel.banner.text
    run(panel)
    panel.folder.value = str(tmp_path / "out")
    panel.save_button.click()
    assert panel.wait(WAIT)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "grid.png",
        "grid.html",
        "cells.parquet",
        "grid.yaml",
    }
    assert str(tmp_path / "out") in panel.path.value
    assert Grid.from_file(tmp_path / "out" / "grid.png") == panel.grid


def test_yaml_both_ways(panel: GridPanel, small: Recipe) -> None:
    panel.editor.yaml_button.value = True
    assert Grid.from_yaml(panel.editor.yaml.value) == panel.grid
    other = four(small, 3, seeds=[1, 2], title="Two", skip=[{"Steps": 1, "“red” becomes": "blue"}])
    panel.editor.yaml.value = other.to_yaml()
    panel.editor.load_button.click()
    assert panel.grid == other
    panel.editor.yaml.value = "grid: 1\naxes: 3"
    panel.editor.load_button.click()
    assert "axes cannot be 3" in panel.banner.text
    assert panel.grid == other


def test_axes_are_added_and_removed(panel: GridPanel) -> None:
    panel.editor.add(FieldAxis(field="guidance_scale", values="1, 4"))
    assert panel.grid.pictures == 8
    panel.editor.rows[0].remove.click()
    assert [row.kind.value for row in panel.editor.rows] == ["replace", "guidance_scale"]
    for row in panel.editor.rows:
        row.remove.click()
    run(panel)
    assert "no axis" in panel.banner.text
