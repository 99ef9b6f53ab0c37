from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.errors import GridError, WorkbenchError
from workbench.grid import AdapterAxis, FieldAxis, Grid
from workbench.recipe import Adapter, Recipe

FULL = """
grid: 1
title: Größe & Farbe 猫
base: {prompt: 'a red circle, small', steps: 4}
axes:
  - {replace: red, values: 'red, blue', title: Farbe}
  - {field: guidance_scale, values: '1-4 (+1.5)', skip: [1]}
  - {settings: [{label: draft, set: {width: 64}}, {label: fine, set: {width: 128, height: 128}}]}
  - {adapters: [null, ink, {name: oil, weight: 0.5}, [ink, oil]]}
  - {weights: '0-1 [3]', adapter: pen}
seeds: 2
skip: [{Farbe: blue, Guidance scale: [2.5, 4]}]
max_pictures: 500
"""


def test_every_kind_of_axis_survives_a_round_trip() -> None:
    grid = Grid.from_yaml(FULL)
    again = Grid.from_yaml(grid.to_yaml())
    assert again == grid
    assert hash(again) == hash(grid)
    assert again.expand().cells == grid.expand().cells
    assert "1-4 (+1.5)" in grid.to_yaml()  # as a person wrote it
    assert "Größe & Farbe 猫" in grid.to_yaml()


def test_python_and_yaml_are_the_same_grid() -> None:
    grid = Grid(
        Recipe(prompt="a red circle"),
        [FieldAxis(field="steps", values=(4, 8)), AdapterAxis(adapters=(None, Adapter(name="ink", weight=0.5)))],
        seeds=[3, 1],
    )
    text = """
        grid: 1
        base: {prompt: a red circle}
        axes: [{field: steps, values: [4, 8]}, {adapters: [null, {name: ink, weight: 0.5}]}]
        seeds: [3, 1]
    """
    assert Grid.from_yaml(text).expand() == grid.expand()


def test_the_schema_lists_every_key_with_its_description() -> None:
    schema = Grid.json_schema()
    assert set(schema["properties"]) >= set(yaml.safe_load(FULL))
    assert schema["additionalProperties"] is False
    assert all("description" in value for value in schema["properties"].values())
    for name in ("FieldAxis", "SettingsAxis", "ReplaceAxis", "AdapterAxis", "WeightAxis"):
        assert all("description" in value for value in schema["$defs"][name]["properties"].values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", ["mapping"]),
        ("a: [", ["YAML"]),
        ("axes: [{field: steps, values: 4}]", ["format None", "grid: 1"]),
        ("grid: 2\naxes: [{field: steps, values: 4}]", ["format 2"]),
        ("grid: 1\naxis: []", ["'axis'", "'axes'"]),
        ("grid: 1\naxes: steps", ["axes"]),
        ("grid: 1\nbase: 3\naxes: [{field: steps, values: 4}]", ["base"]),
        ("grid: 1\nbase: {stpes: 3}\naxes: [{field: steps, values: 4}]", ["'stpes'", "'steps'"]),
        ("grid: 1\nseeds: many\naxes: [{field: steps, values: 4}]", ["seeds", "'many'"]),
        ("grid: 1\nskip: [4]\naxes: [{field: steps, values: 4}]", ["skip"]),
        ("grid: 1\nmax_pictures: true\naxes: [{field: steps, values: 4}]", ["max_pictures"]),
        ("grid: 1\naxes: [{replace: red, values: [yes]}]\nbase: {prompt: red}", ["True", "quotes"]),
        ("grid: 1\naxes: [{field: model, values: !!python/object/apply:os.getcwd []}]", ["YAML"]),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, words: list[str]) -> None:
    with pytest.raises(WorkbenchError) as caught:
        Grid.from_yaml(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_grid_are_named(tmp_path: Path) -> None:
    with pytest.raises(GridError, match=r"nothing\.yaml"):
        Grid.from_file(tmp_path / "nothing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GridError, match=r"binary\.yaml"):
        Grid.from_file(tmp_path / "binary.yaml")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(GridError, match=r"broken\.png"):
        Grid.from_file(tmp_path / "broken.png")


def test_a_grid_png_can_be_run_again(build: Any, tmp_path: Path) -> None:
    result = build({"prompt": "a red 猫"}, [{"replace": "red", "values": "red, blau, größer"}], title="Ü")
    path = result.save_png(tmp_path / "grid.png")
    assert Grid.from_file(path) == result.grid


def test_a_picture_without_a_grid_says_so(build: Any, tmp_path: Path) -> None:
    result = build({}, [{"field": "steps", "values": [4]}])
    result.picture(result.shots[0, 0]).save(tmp_path / "plain.png")
    with pytest.raises(GridError, match="carries no grid"):
        Grid.from_png(tmp_path / "plain.png")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.yaml"))
        if "\ngrid:" in path.read_text(encoding="utf-8")  # others are searches, tried by the tests of `evals tune`
    ],
    ids=lambda p: p.name,
)
def test_the_examples_in_the_documentation_are_grids(path: Path) -> None:
    assert Grid.from_file(path).pictures > 0
