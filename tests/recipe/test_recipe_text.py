"""Recipes as text: what goes out comes back, and what is wrong is refused with a sentence."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import RecipeError
from workbench.recipe import Adapter, Recipe

TEXT = st.text(max_size=40).filter(lambda text: "\x00" not in text)
ADAPTERS = st.lists(
    st.builds(Adapter, name=TEXT.filter(bool), weight=st.floats(-10, 10, allow_nan=False)), max_size=3
).map(tuple)
RECIPES = st.builds(
    Recipe,
    prompt=TEXT,
    negative_prompt=TEXT,
    seed=st.integers(0, 2**63 - 1),
    width=st.none() | st.integers(16, 8192),
    height=st.none() | st.integers(16, 8192),
    steps=st.none() | st.integers(1, 1000),
    guidance_scale=st.none() | st.floats(0, 100),
    max_sequence_length=st.none() | st.integers(8, 4096),
    precision=st.sampled_from([None, "float32", "bfloat16"]),
    adapters=ADAPTERS,
)


@given(RECIPES)
def test_yaml_round_trip(recipe: Recipe) -> None:
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


@given(RECIPES)
def test_json_round_trip(recipe: Recipe) -> None:
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Recipe.from_yaml(recipe.model_dump_json()) == recipe


@given(RECIPES)
def test_python_source_makes_the_recipe(recipe: Recipe) -> None:
    made = eval(recipe.to_python(), {"Recipe": Recipe, "Adapter": Adapter, "inf": math.inf})
    assert made == recipe


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"promt": "x"}, ["promt", "prompt"]),
        ({"steps": 0}, ["steps", "0"]),
        ({"steps": "many"}, ["steps", "many"]),
        ({"guidance_scale": math.nan}, ["guidance_scale", "nan"]),
        ({"guidance_scale": math.inf}, ["guidance_scale", "inf"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": 2**63}, ["seed"]),
        ({"prompt": "a\x00b"}, ["prompt", "NUL"]),
        ({"prompt": "\ud800"}, ["prompt"]),
        ({"task": "music"}, ["task", "music"]),
        ({"precision": "float16"}, ["precision", "float16"]),
        ({"adapters": [{"name": "a", "wieght": 1}]}, ["wieght", "weight"]),
        ({"adapters": [{"name": "a", "weight": 11}]}, ["weight", "11"]),
        ({"width": 8}, ["width", "8"]),
    ],
)
def test_bad_values_are_named(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(values)
    for word in words:
        assert word.lower() in str(caught.value).lower()


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b", "just words", "", "!!python/object/apply:os.system ['true']"])
def test_text_that_is_no_recipe(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_yaml(text)


def test_replace_validates() -> None:
    with pytest.raises(RecipeError):
        Recipe().replace(steps=0)
    assert Recipe(prompt="a").replace(seed=3) == Recipe(prompt="a", seed=3)


@pytest.mark.parametrize("text", ["\x85", "one\x85two", "\u2028", "\ufeff", " a\tb\n"])
def test_rare_line_breaks_survive_yaml(text: str) -> None:
    assert Recipe.from_yaml(Recipe(prompt=text).to_yaml()).prompt == text
