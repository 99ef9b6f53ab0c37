from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.engine.events import CancelToken
from workbench.grid import Grid
from workbench.grid.grid import Grid as GridClass

TEXT = """
grid: 1
base: {model: tiny-base, prompt: a red circle, width: 64, height: 64}
axes:
  - {field: steps, values: '1-2'}
  - {replace: red, values: 'red, blue'}
"""


@pytest.fixture
def invoke(tiny_klein: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_MODELS", str(tiny_klein.root))
    monkeypatch.setenv("WORKBENCH_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colours.yaml").write_text(TEXT)
    return lambda *arguments: CliRunner().invoke(app, ["grid", *map(str, arguments)])


def test_a_grid_writes_its_files_and_says_what_was_computed(invoke: Any, tmp_path: Path) -> None:
    plan = json.loads(invoke("colours.yaml", "--dry-run", "--json").stdout)
    assert (plan["cells"], plan["missing"]) == (4, 4)
    assert not (tmp_path / "colours").exists()
    first = invoke("colours.yaml", "--out", "out")
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[0] == "computed 4, reused 0"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "grid.png",
        "grid.html",
        "cells.parquet",
        "grid.yaml",
    }
    assert len(pandas.read_parquet(tmp_path / "out" / "cells.parquet")) == 4
    again = json.loads(invoke("out/grid.png", "--out", "again", "--json").stdout)  # the figure carries its grid
    assert (again["computed"], again["reused"], again["failed"]) == (0, 4, 0)
    assert [Path(path).name for path in again["files"]] == ["grid.png", "grid.html", "cells.parquet", "grid.yaml"]
    assert Grid.from_file(tmp_path / "again" / "grid.yaml") == Grid.from_yaml(TEXT)
    assert "nothing to compute" in invoke("colours.yaml", "--dry-run").stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "nothing.yaml"),
        (TEXT.replace("steps", "stpes"), "'steps'"),
        (TEXT.replace("'1-2'", "[]"), "empty"),
        (TEXT.replace("'1-2'", "'1-2', skip: [7]"), "7"),
        (TEXT.replace("tiny-base", "tiny-bsae"), "tiny-bsae"),
        (TEXT.replace("width: 64", "width: 65"), "multiple of 16"),
        (TEXT.replace("field: steps, values: '1-2'", "field: seed, values: '0-9999999'"), "10,000,000"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(invoke: Any, tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "bad.yaml").write_text(text)
    outcome = invoke("nothing.yaml" if text is None else "bad.yaml")
    assert outcome.exit_code == 2
    assert words in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1
    assert not outcome.stdout
    assert not (tmp_path / "bad").exists()


def test_an_output_folder_that_is_a_file_is_found_before_the_work(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    outcome = invoke("colours.yaml", "--out", "taken")
    assert outcome.exit_code == 2
    assert not list((tmp_path / "home").glob("pictures/**/*.png"))


def test_an_interrupted_grid_writes_what_it_has(invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = GridClass.run

    def stopped(self: Grid, session: Any, *, cancel: CancelToken, **options: Any) -> Any:
        return run(self, session, cancel=cancel, on_cell=lambda shot: cancel.cancel(), **options)

    monkeypatch.setattr(GridClass, "run", stopped)
    (tmp_path / "long.yaml").write_text(TEXT.replace("'1-2'", "'30-31'"))
    outcome = invoke("long.yaml", "--batch-size", "1")
    assert outcome.exit_code == 130
    assert "not run" in outcome.stdout
    assert "Run the same command" in outcome.stderr
    assert (tmp_path / "long" / "grid.png").exists()
