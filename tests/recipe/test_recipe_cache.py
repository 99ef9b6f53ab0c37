"""The recipe field `cache`: how modes are written, brought to one form, and refused."""

from __future__ import annotations

import pytest

from workbench.errors import RecipeError
from workbench.models import ModelCatalog
from workbench.recipe import Recipe, resolve

FULL = "taylorseer-1:interval=4:order=1:warmup=3:lite=0"


@pytest.mark.parametrize("text", [None, "", "none", " Exact "])
def test_no_cache_is_the_default_and_leaves_no_trace(tiny_catalog: ModelCatalog, text: str | None) -> None:
    recipe = Recipe(model="tiny-base", cache=text)
    assert recipe.cache is None
    resolved = resolve(recipe, tiny_catalog)
    assert "cache" not in resolved.canonical_json
    assert resolved.digest == resolve(Recipe(model="tiny-base"), tiny_catalog).digest


@pytest.mark.parametrize(
    "text", ["taylorseer:interval=4", "taylorseer-1:interval=4.0", "taylorseer: warmup=3 :interval=4", FULL]
)
def test_every_spelling_has_one_canonical_form(tiny_catalog: ModelCatalog, text: str) -> None:
    resolved = resolve(Recipe(model="tiny-base", steps=8, cache=text), tiny_catalog)
    assert resolved.recipe.cache == FULL
    again = resolve(resolved.recipe, tiny_catalog)
    assert again.digest == resolved.digest
    assert resolved.digest != resolve(Recipe(model="tiny-base", steps=8), tiny_catalog).digest


@pytest.mark.parametrize("text", ["taylorseer:interval=4:lite=1", "magcache:skip=2:ratios=1/1.25/0.9", "first_block"])
def test_text_reads_back_as_written(text: str) -> None:
    recipe = Recipe(cache=text)
    assert recipe.cache == text
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("teacache", "there is no cache 'teacache'; did you mean magcache"),
        ("xyz", "write none or one of taylorseer"),
        ("taylorseer-2", "version 2 of taylorseer is not here"),
        ("taylorseer:interval=1", "interval is a whole number from 2 to 1000, not '1'"),
        ("taylorseer:interval=2.5", "interval is a whole number"),
        ("taylorseer:interval=nan", "interval is a whole number"),
        ("taylorseer:speed=3", "'speed=3' is no parameter of taylorseer; it has interval, order"),
        ("taylorseer:interval", "'interval' is no parameter"),
        ("taylorseer:interval=3:interval=4", "interval stands there twice"),
        ("taylorseer:ratios=flux1", "'ratios=flux1' is no parameter of taylorseer"),
        ("magcache:ratios=1/x", "ratios are 'flux1' or numbers"),
    ],
)
def test_what_is_not_known_is_refused(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=r"'cache' cannot be") as caught:
        Recipe.parse({"cache": text})
    assert said in caught.value.message


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(model="tiny-base", steps=3, cache="taylorseer"),
        Recipe(model="tiny-base", steps=1, cache="magcache:ratios=1/1"),
    ],
)
def test_a_cache_that_cannot_act_is_the_exact_picture(tiny_catalog: ModelCatalog, recipe: Recipe) -> None:
    assert resolve(recipe, tiny_catalog).digest == resolve(recipe.replace(cache=None), tiny_catalog).digest
