"""Axis editors: grid to editors and back, and what is typed becomes what the grid takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import GridError
from workbench.grid import AdapterAxis, Axis, FieldAxis, Grid, ReplaceAxis, Setting, SettingsAxis, WeightAxis
from workbench.grid.axis import parse_axis
from workbench.grid.values import values_of
from workbench.panels.axes import KINDS, AxisRow
from workbench.panels.banner import Banner

MODELS = ("klein-nano", "klein-nano-base")

AXES: list[Axis] = [
    FieldAxis(field="steps", values="4-28 [4]"),
    FieldAxis(field="steps", values=(4, 8, 28), title="Steps taken", skip=(8,)),
    FieldAxis(field="guidance_scale", values=(1.0, 2.5, None)),
    FieldAxis(field="seed", values="1, 2, ..., 10"),
    FieldAxis(field="model", values=("klein-nano", "some/folder")),
    FieldAxis(field="precision", values=("float32", "bfloat16")),
    FieldAxis(field="prompt", values=("a red circle, small", "a star")),
    FieldAxis(field="prompt", values=("one, alone",)),
    FieldAxis(field="prompt", values=("two\nlines", "[brackets]", " spaces ", "a || b")),
    FieldAxis(field="negative_prompt", values="blurry || dark"),
    ReplaceAxis(replace="red", values="red, green"),
    ReplaceAxis(replace="red", values=("dark red, with a rim", "")),
    AdapterAxis(adapters=(None, "stars", {"name": "stripes", "weight": 0.5})),
    AdapterAxis(adapters="none, stars"),
    WeightAxis(weights="0-1 [5]", adapter="stars"),
    WeightAxis(weights=(0, 0.25, 1)),
    SettingsAxis(
        settings=(
            Setting(label="quick: one", set={"steps": 4, "guidance_scale": 1.0}),
            Setting(label="7", set={"steps": 28, "prompt": "a 'quoted' star"}),
        )
    ),
]


def row(axis: Axis, changes: list[int] | None = None, banner: Banner | None = None) -> AxisRow:
    heard = changes if changes is not None else []
    return AxisRow(axis, MODELS, lambda: heard.append(1), lambda _: None, banner or Banner())


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: type(axis).__name__)
def test_round_trip(axis: Axis) -> None:
    read = parse_axis(row(axis).axis, 1)
    assert type(read) is type(axis)
    assert values_of(read) == values_of(axis)
    assert read.title == axis.title


lines = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


@given(values=st.lists(lines, min_size=1, max_size=4, unique=True))
def test_any_prompts_survive_the_editor(values: list[str]) -> None:
    axis = FieldAxis(field="prompt", values=tuple(values))
    read = parse_axis(row(axis).axis, 1)
    assert [value.raw for value in values_of(read)] == values


@given(values=st.lists(st.floats(0, 100) | st.none(), min_size=1, max_size=6, unique=True))
def test_any_numbers_survive_the_editor(values: list[float | None]) -> None:
    axis = FieldAxis(field="guidance_scale", values=tuple(values))
    try:
        expected = values_of(axis)
    except GridError:  # two numbers that are written alike
        return
    assert values_of(parse_axis(row(axis).axis, 1)) == expected


@pytest.mark.parametrize(
    ("kind", "target", "typed", "expected"),
    [
        ("steps", "", "4, 8", {"field": "steps", "values": "4, 8"}),
        ("steps", "", "[4, 8]", {"field": "steps", "values": [4, 8]}),
        ("prompt", "", "a, b\nc", {"field": "prompt", "values": "a, b\nc"}),
        ("replace", "red", "blue, pink", {"replace": "red", "values": "blue, pink"}),
        ("weights", "", "0-1 [3]", {"weights": "0-1 [3]", "adapter": None}),
        ("adapters", "", "none, stars", {"adapters": "none, stars"}),
        ("settings", "", "quick: {steps: 4}", {"settings": [{"label": "quick", "set": {"steps": 4}}]}),
        ("settings", "", "", {"settings": []}),
    ],
)
def test_what_is_typed(kind: str, target: str, typed: str, expected: dict[str, Any]) -> None:
    changes: list[int] = []
    made = row(FieldAxis(field="width", values=""), changes)
    made.kind.value = kind
    made.target.value = target
    made.values.value = typed
    assert made.axis == expected
    assert changes


def test_every_recipe_field_can_be_an_axis() -> None:
    made = row(FieldAxis(field="steps", values="4"))
    for _, kind in KINDS:
        made.kind.value = kind
        assert made.values.value in ("", ())
        assert made.axis


def test_models_are_picked_from_a_list() -> None:
    made = row(FieldAxis(field="model", values=("klein-nano",)))
    assert made.values.options == MODELS
    made.values.value = MODELS
    assert made.axis == {"field": "model", "values": list(MODELS)}


@pytest.mark.parametrize(("kind", "typed"), [("steps", "[4, 8"), ("settings", "- a\n- b"), ("settings", "a: {b")])
def test_text_that_is_no_yaml_is_one_sentence(kind: str, typed: str) -> None:
    made = row(FieldAxis(field="width", values=""))
    made.kind.value = kind
    made.values.value = typed
    with pytest.raises(GridError) as caught:
        _ = made.axis
    assert "\n" not in str(caught.value)


def test_a_kept_title_goes_when_the_axis_becomes_another() -> None:
    made = row(FieldAxis(field="steps", values="4, 8", title="Steps taken", skip=(8,)))
    assert made.axis["title"] == "Steps taken"
    made.kind.value = "guidance_scale"
    assert "title" not in made.axis


def test_a_grid_of_all_kinds_survives_as_a_whole() -> None:
    grid = Grid({"prompt": "a red circle"}, [AXES[0], AXES[10]], seeds=2)
    axes = [row(axis).axis for axis in grid.axes]
    assert Grid(grid.base, axes, seeds=2) == grid
