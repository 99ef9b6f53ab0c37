from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import GridError, WorkbenchError
from workbench.grid import FieldAxis, Grid, ReplaceAxis, Setting, SettingsAxis
from workbench.grid.expand import MAX_PICTURES
from workbench.recipe import Adapter, Recipe, resolve

BASE = {"prompt": "a red circle on a white background", "negative_prompt": "a red square"}
AXES: list[dict[str, Any]] = [
    {"field": "steps", "values": [1, 2, 3]},
    {"field": "guidance_scale", "values": "1-4 [3]"},
    {"replace": "red", "values": ["blue", "green circle", "red"]},
    {"replace": "circle", "values": ["square", "red star"]},
    {"adapters": [None, "ink", {"name": "oil", "weight": 0.5}]},
    {"weights": "0-1 [3]", "adapter": "ink"},
    {"field": "model", "values": ["klein-nano-base", "klein-nano"]},
    {
        "title": "Size",
        "settings": [{"label": "s", "set": {"width": 64, "height": 64}}, {"label": "w", "set": {"width": 128}}],
    },
]
some_axes = st.lists(st.sampled_from(range(len(AXES))), min_size=1, max_size=4, unique=True)


def refusal(axes: list[Any], base: dict[str, Any] | None = None, **options: Any) -> str:
    with pytest.raises(WorkbenchError) as caught:
        Grid(BASE if base is None else base, axes, **options)
    return str(caught.value)


@settings(deadline=None)
@given(chosen=some_axes, seeds=st.integers(1, 3))
def test_pictures_are_the_product_and_every_recipe_resolves(catalog: Any, chosen: list[int], seeds: int) -> None:
    grid = Grid(BASE, [AXES[place] for place in chosen], seeds=seeds)
    plan = grid.expand(catalog)
    assert len(plan.cells) == math.prod(len(dimension) for dimension in plan.dimensions)
    assert grid.pictures == len(plan.cells) * seeds == len(plan.run_order)
    for cell in plan.cells:
        assert plan.cell(cell.at) is cell
        assert [r.digest for r in cell.resolved] == [resolve(recipe, catalog).digest for recipe in cell.recipes]
        assert len({recipe.seed for recipe in cell.recipes}) == seeds
        for recipe in cell.recipes:
            assert Recipe.parse(recipe.model_dump()) == recipe  # nothing slipped past the recipe's own checks


@settings(deadline=None)
@given(chosen=some_axes, data=st.data())
def test_the_order_of_the_axes_changes_no_recipe(chosen: list[int], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(chosen))
    one, two = (Grid(BASE, [AXES[place] for place in order]).expand() for order in (chosen, shuffled))

    def by_place(plan: Any) -> dict[frozenset[str], Recipe]:
        return {frozenset(plan.describe(cell).split(", ")): cell.recipes[0] for cell in plan.cells}

    assert by_place(one) == by_place(two)


@settings(deadline=None)
@given(chosen=some_axes, data=st.data())
def test_skips_leave_holes_and_nothing_else(chosen: list[int], data: st.DataObject) -> None:
    whole = Grid(BASE, [AXES[place] for place in chosen], seeds=2).expand()
    hole = data.draw(st.sampled_from(whole.cells))
    skip = {d.title: d.labels[place] for d, place in zip(whole.dimensions, hole.at, strict=True)}
    axes: list[Any] = [AXES[place] for place in chosen]
    if len(whole.cells) == 1:
        return
    plan = Grid(BASE, axes, seeds=2, skip=[skip]).expand()
    assert [cell.index for cell in plan.cells if cell.skipped] == [hole.index]
    assert plan.pictures == whole.pictures - 2
    assert [cell.recipes for cell in plan.cells if not cell.skipped] == [
        cell.recipes for cell in whole.cells if cell is not hole
    ]


def test_a_skipped_value_empties_its_row_and_a_list_skips_several() -> None:
    axes: list[Any] = [
        {"field": "steps", "values": [1, 2, 3], "skip": [2]},
        {"field": "guidance_scale", "values": [1, 2.5]},
    ]
    plan = Grid(BASE, axes, skip=[{"Steps": [1, "3"], "Guidance scale": 2.5}]).expand()
    assert [cell.at for cell in plan.cells if not cell.skipped] == [(0, 0), (2, 0)]


@settings(deadline=None)
@given(chosen=some_axes)
def test_dear_axes_change_as_rarely_as_they_can(chosen: list[int]) -> None:
    plan = Grid(BASE, [AXES[place] for place in chosen], seeds=2).expand()
    recipes = [cell.recipes[seed] for cell, seed in plan.run_order]
    models = [recipe.model for recipe in recipes]
    swaps = sum(a != b for a, b in itertools.pairwise(models))
    assert swaps == len(set(models)) - 1
    for model in set(models):
        adapters = [recipe.adapters for recipe in recipes if recipe.model == model]
        axes = {6, 4, 5} & set(chosen)
        if axes <= {6, 4}:  # one adapter axis: each of its values comes once
            assert sum(a != b for a, b in itertools.pairwise(adapters)) == len(set(adapters)) - 1


def test_equally_dear_axes_stay_as_written() -> None:
    axes: list[dict[str, Any]] = [
        {"field": "steps", "values": [1, 2]},
        {"field": "model", "values": "klein-nano, klein-nano-base"},
    ]
    axes += [{"field": "guidance_scale", "values": [2, 3]}]
    order = [
        (c.recipes[0].model, c.recipes[0].steps, c.recipes[0].guidance_scale)
        for c, _ in Grid({}, axes).expand().run_order
    ]
    assert order == [(m, s, g) for m in ("klein-nano", "klein-nano-base") for s in (1, 2) for g in (2, 3)]


def test_a_setting_changes_several_fields_at_once() -> None:
    axis = SettingsAxis(
        settings=(Setting(label="draft", set={"steps": 4, "width": 64}), Setting(label="fine", set={"steps": 40}))
    )
    plan = Grid(BASE, [axis]).expand()
    assert plan.dimensions[0].title == "Steps + Width"
    assert [(c.recipes[0].steps, c.recipes[0].width) for c in plan.cells] == [(4, 64), (40, None)]


def test_all_search_texts_are_replaced_in_one_pass() -> None:
    axes: list[Any] = [{"replace": "red", "values": ["circle"]}, {"replace": "circle", "values": ["red"]}]
    (cell,) = Grid(BASE, axes).expand().cells
    assert cell.recipes[0].prompt == "a circle red on a white background"
    assert cell.recipes[0].negative_prompt == "a circle square"


def test_a_longer_search_text_wins_over_one_inside_it() -> None:
    axes: list[Any] = [{"replace": "red circle", "values": ["star"]}, {"replace": "red", "values": ["blue"]}]
    (cell,) = Grid(BASE, axes).expand().cells
    assert (cell.recipes[0].prompt, cell.recipes[0].negative_prompt) == (
        "a star on a white background",
        "a blue square",
    )


def test_a_search_text_in_the_negative_prompt_alone_is_enough() -> None:
    (cell,) = Grid(BASE, [{"replace": "a red square", "values": [""]}]).expand().cells
    assert cell.recipes[0].negative_prompt == ""


@pytest.mark.parametrize("prompt", ["a blue circle", "a RED circle"])
def test_an_absent_search_text_is_refused(prompt: str) -> None:
    message = refusal([{"replace": "red", "values": "blue, green"}], {"prompt": prompt})
    assert "'red'" in message
    assert prompt in message


def test_an_absent_search_text_is_found_in_any_prompt_of_an_axis() -> None:
    axes: list[Any] = [{"field": "prompt", "values": "a red cat || a blue cat"}, {"replace": "red", "values": "green"}]
    assert "a blue cat" in refusal(axes, {})


def test_adapters_join_the_base_and_weights_find_them() -> None:
    base = {"adapters": [{"name": "base"}]}
    axes: list[dict[str, Any]] = [
        {"adapters": ["none", "ink", ["oil", {"name": "pen", "weight": 2}]]},
        {"weights": [0.25], "adapter": "ink"},
    ]
    plan = Grid(base, axes).expand()
    assert plan.dimensions[0].labels == ("none", "ink", "oil + pen × 2")
    assert plan.dimensions[1].title == "Weight of ink"
    ink = Adapter(name="ink", weight=0.25)
    first = Adapter(name="base")
    assert plan.cells[0].recipes[0].adapters == (first, ink)
    assert plan.cells[1].recipes[0].adapters == (first, ink)
    assert plan.cells[2].recipes[0].adapters == (first, Adapter(name="oil"), Adapter(name="pen", weight=2), ink)


def test_a_weight_leaves_the_weights_of_single_blocks() -> None:
    ink = Adapter(name="ink", blocks={"double.0": 0.5})
    (cell,) = Grid({"prompt": "x", "adapters": [ink]}, [{"weights": [0.25]}]).expand().cells
    assert cell.recipes[0].adapters == (ink.model_copy(update={"weight": 0.25}),)


def test_a_weight_without_a_name_is_for_all_adapters() -> None:
    axes: list[dict[str, Any]] = [{"adapters": ["none", "ink"]}, {"weights": "0-1 [2]"}]
    plan = Grid({}, axes).expand()
    assert [[a.weight for a in c.recipes[0].adapters] for c in plan.cells] == [[], [], [0.0], [1.0]]
    assert "no adapter" in refusal([{"weights": "0-1 [2]"}])


def test_one_adapter_twice_is_refused() -> None:
    assert "twice" in refusal([{"adapters": ["ink"]}], {"adapters": [{"name": "ink"}]})


def test_paths_are_labelled_by_their_last_part_where_that_is_clear() -> None:
    plan = Grid({}, [{"adapters": ["/a/ink.safetensors", "/b/oil.safetensors"]}]).expand()
    assert plan.dimensions[0].labels == ("ink", "oil")
    plan = Grid({}, [{"field": "model", "values": ["/a/m", "/b/m", "n"]}]).expand()
    assert plan.dimensions[0].labels == ("/a/m", "/b/m", "n")


def test_seeds_are_given_or_counted_from_the_base() -> None:
    axes: list[Any] = [{"field": "steps", "values": [4]}]
    assert Grid({"seed": 5}, axes, seeds=3).expand().seeds == (5, 6, 7)
    assert Grid({"seed": 5}, axes, seeds=[9, 2]).expand().seeds == (9, 2)
    assert Grid({"seed": 5}, axes).expand().seeds == (5,)
    plan = Grid({}, [{"field": "seed", "values": "3-4"}]).expand()
    assert (plan.seeds, [cell.recipes[0].seed for cell in plan.cells]) == ((), [3, 4])


@pytest.mark.parametrize("seeds", [0, -1, [], [1, 1], [-1], [2**63], ["a"], True])
def test_bad_seeds_are_refused(seeds: Any) -> None:
    assert "seed" in refusal([{"field": "steps", "values": [4]}], seeds=seeds)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ([], ["no axis"]),
        ([{"field": "steps", "values": []}], ["'Steps'", "empty"]),
        ([{"field": "steps", "values": " "}], ["'Steps'", "empty"]),
        ([{"settings": []}], ["empty"]),
        ([{"field": "stpes", "values": [1]}], ["'stpes'", "'steps'"]),
        ([{"field": "steps", "value": [1]}], ["values"]),
        ([{"feild": "steps", "values": [1]}], ["Axis 1", "field"]),
        ([{"field": "steps", "values": [1], "titel": "x"}], ["'titel'", "'title'"]),
        ([{"field": "steps", "values": [4, 0]}], ["0", "'Steps'", "greater than or equal to 1"]),
        ([{"field": "steps", "values": [4.5]}], ["4.5", "'Steps'"]),
        ([{"field": "steps", "values": "1-9 (+"}], ["'Steps'", "1-9 (+"]),
        ([{"field": "steps", "values": [True]}], ["True", "'Steps'"]),
        ([{"field": "guidance_scale", "values": [math.nan]}], ["nan", "'Guidance scale'"]),
        ([{"field": "steps", "values": [4, 4]}], ["'4' 2 times"]),
        ([{"field": "steps", "values": [4]}, {"field": "steps", "values": [5]}], ["both change steps"]),
        ([{"field": "steps", "values": [4]}, {"settings": [{"label": "a", "set": {"steps": 9}}]}], ["both change steps"]),
        ([{"field": "steps", "title": "A", "values": [4]}, {"field": "width", "title": "A", "values": [64]}], ["'A'"]),
        ([{"field": "adapters", "values": ["ink"]}], ["adapters:"]),
        ([{"settings": [{"label": "a", "set": {"stepz": 9}}]}], ["'stepz'", "'steps'"]),
        ([{"settings": [{"label": "a", "set": {}}]}], ["'a'", "nothing"]),
        ([{"replace": "red", "values": [True]}], ["True", "quotes"]),
        ([{"adapters": [{"name": "ink", "wieght": 1}]}], ["wieght", "'weight'"]),
        ([{"adapters": ["ink"]}, {"weights": [11]}], ["11", "'Adapter weight'"]),
        ([{"field": "steps", "values": [4], "skip": [5]}], ["5", "'Steps'"]),
        (["steps"], ["'steps'", "mapping"]),
    ],
)  # fmt: skip
def test_each_mistake_is_one_sentence_with_its_place(axes: list[Any], words: list[str]) -> None:
    message = refusal(axes)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("skip", [{"Stpes": 4}, {"Steps": 99}, {}])
def test_a_skip_that_hits_nothing_is_refused(skip: dict[str, Any]) -> None:
    assert refusal([{"field": "steps", "values": [4, 5]}], skip=[skip])


def test_a_grid_of_holes_is_refused() -> None:
    assert "skipped" in refusal([{"field": "steps", "values": [4, 5]}], skip=[{"Steps": [4, 5]}])


@pytest.mark.parametrize(
    "axes",
    [
        [{"field": "seed", "values": "0-99999"}, {"field": "steps", "values": "1-100"}],
        [{"field": "seed", "values": range(100_000)}, {"field": "steps", "values": "1-100"}],
        [{"field": "seed", "values": range(10**12)}],
        [{"field": "seed", "values": "0-1000000000000"}],
        [{"field": "guidance_scale", "values": "0-100 [100000000]"}],
    ],
)
def test_a_huge_grid_is_refused_before_anything_is_built(axes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: Any) -> None:
        raise AssertionError("a value was checked or a cell built")

    monkeypatch.setattr("workbench.grid.expand.apply", build)
    monkeypatch.setattr("workbench.grid.values._check", build)
    assert "more than" in refusal(axes)


def test_the_limit_counts_seeds_and_can_be_raised() -> None:
    axes: list[Any] = [{"field": "steps", "values": [1, 2, 3]}]
    assert "6 pictures" in refusal(axes, seeds=2, max_pictures=5)
    assert Grid({}, axes, seeds=2, max_pictures=6).pictures == 6
    assert "100,001 seeds" in refusal(axes, seeds=MAX_PICTURES + 1)


def test_a_size_that_the_model_cannot_draw_names_its_cell(catalog: Any) -> None:
    grid = Grid(BASE, [{"field": "width", "values": [64, 100]}, {"field": "steps", "values": [4]}])
    with pytest.raises(GridError, match=r"Width = 100, Steps = 4.*multiple of 16"):
        grid.expand(catalog)
    with pytest.raises(GridError, match="klein-nona"):
        Grid(BASE, [{"field": "model", "values": ["klein-nona"]}]).expand(catalog)


def test_fixed_is_what_all_pictures_share(catalog: Any) -> None:
    plan = Grid(BASE, [FieldAxis(field="steps", values=(1, 2)), ReplaceAxis(replace="red", values=("blue",))]).expand(
        catalog
    )
    assert plan.fixed["width"] == 128
    assert plan.fixed["guidance_scale"] == 4.0
    assert not {"steps", "adapters"} & set(plan.fixed)
