from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import GridError, WorkbenchError
from workbench.grid import FieldAxis, Grid
from workbench.prompts import DynamicPromptError


def test_a_dynamic_prompt_is_an_axis_with_its_values_written_out() -> None:
    grid = Grid.from_yaml("grid: 1\naxes: [{dynamic: 'a {red|blue} {circle|star}', title: What}]\nbase: {steps: 4}")
    (axis,) = grid.axes
    assert isinstance(axis, FieldAxis)
    assert axis.values == ("a red circle", "a red star", "a blue circle", "a blue star")
    assert (axis.field, axis.title) == ("prompt", "What")
    assert "a blue star" in grid.to_yaml()
    assert "dynamic" not in grid.to_yaml()
    assert Grid.from_yaml(grid.to_yaml()) == grid
    assert grid.pictures == 4


def test_wildcards_draws_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards" / "shape.txt").write_text("circle\nstar\nring\n")
    (tmp_path / "list.txt").write_text("one, with a comma\na {red|blue} __shape__\n")
    drawn = Grid({}, [{"dynamic": "a __shape__", "mode": "random", "number": 2, "seed": 3}]).axes[0]
    assert isinstance(drawn, FieldAxis)
    assert len(drawn.values) == 2
    listed = Grid({}, [{"prompts": str(tmp_path / "list.txt"), "field": "negative_prompt"}]).axes[0]
    assert isinstance(listed, FieldAxis)
    assert (listed.field, len(listed.values), listed.values[0]) == ("negative_prompt", 7, "one, with a comma")


@pytest.mark.parametrize(
    ("axis", "why"),
    [
        ({"dynamic": "{a|b}", "values": "1"}, "no key 'values'"),
        ({"dynamic": "{a|b}", "prompts": "x.txt"}, "at once"),
        ({"dynamic": "{a|b}", "field": "steps"}, "is no prompt"),
        ({"dynamic": "{a|b}", "mode": "some"}, "mode is all or random"),
        ({"dynamic": "{a|b}", "mode": "random", "number": "two"}, "whole numbers"),
        ({"dynamic": "{a|b"}, "without its"),
        ({"dynamic": "{a|b}" * 20}, "1,048,576 prompts"),
        ({"prompts": "no such file.txt"}, "Cannot read"),
    ],
)
def test_mistakes(axis: dict[str, object], why: str) -> None:
    with pytest.raises(WorkbenchError, match=why) as caught:
        Grid({}, [axis])
    assert isinstance(caught.value, (GridError, DynamicPromptError))
