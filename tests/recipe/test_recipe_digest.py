"""The digest: equal for recipes that must give the same pixels, different for all others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TinyKlein
from workbench.errors import ModelError, RecipeError
from workbench.models import ModelCatalog
from workbench.recipe import Adapter, Recipe, resolve

SIDES = st.sampled_from([64, 80, 96, 128, 256])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "prompt": st.text(max_size=8).filter(lambda text: "\x00" not in text),
    "negative_prompt": st.text(max_size=8).filter(lambda text: "\x00" not in text),
    "seed": st.integers(0, 2**63 - 1),
    "width": SIDES,
    "height": SIDES,
    "steps": st.integers(1, 1000),
    "guidance_scale": st.floats(1.5, 100),
    "max_sequence_length": st.integers(8, 4096),
    "precision": st.sampled_from(["float32", "bfloat16"]),
    "adapters": st.lists(
        st.builds(Adapter, name=st.sampled_from(["plain", "scaled"]), weight=st.floats(0.1, 10)), max_size=2
    ).map(tuple),
    "model": st.sampled_from(["tiny-base", "tiny-static"]),
}
FULL = st.fixed_dictionaries(FIELDS)


@given(full=FULL, name=st.sampled_from(sorted(FIELDS)), data=st.data())
def test_every_deciding_field_is_in_the_digest(
    tiny_catalog: ModelCatalog, full: dict[str, Any], name: str, data: st.DataObject
) -> None:
    recipe = Recipe.parse(full)
    other = recipe.replace(**{name: data.draw(FIELDS[name])})
    same = getattr(recipe, name) == getattr(other, name)
    assert (resolve(recipe, tiny_catalog).digest == resolve(other, tiny_catalog).digest) == same


@given(full=FULL)
def test_resolving_again_changes_nothing(tiny_catalog: ModelCatalog, full: dict[str, Any]) -> None:
    resolved = resolve(Recipe.parse(full), tiny_catalog)
    assert resolve(resolved.recipe, tiny_catalog) == resolved
    assert json.loads(resolved.canonical_json)["format"] == 1


@given(prompt=st.text(max_size=8).filter(lambda text: "\x00" not in text), scale=st.floats(0, 100))
def test_guidance_of_a_distilled_model_does_not_count(tiny_catalog: ModelCatalog, prompt: str, scale: float) -> None:
    plain = Recipe(model="tiny-distilled", prompt=prompt)
    guided = plain.replace(guidance_scale=scale, negative_prompt="blurred")
    assert resolve(plain, tiny_catalog).digest == resolve(guided, tiny_catalog).digest


@given(scale=st.floats(0, 1))
def test_guidance_of_one_or_less_is_off(tiny_catalog: ModelCatalog, scale: float) -> None:
    off = Recipe(model="tiny-base", guidance_scale=1)
    assert (
        resolve(off, tiny_catalog).digest
        == resolve(off.replace(guidance_scale=scale, negative_prompt="x"), tiny_catalog).digest
    )


def test_defaults_written_out_are_the_same_recipe(tiny_catalog: ModelCatalog) -> None:
    short = Recipe(model="tiny-base", prompt="a")
    row = tiny_catalog.model("tiny-base")
    full = short.replace(
        width=row.width, height=row.height, steps=row.steps, guidance_scale=row.guidance_scale,
        max_sequence_length=row.max_sequence_length, precision=row.precision,
    )  # fmt: skip
    assert resolve(short, tiny_catalog).digest == resolve(full, tiny_catalog).digest


def test_adapters_of_weight_zero_vanish(tiny_catalog: ModelCatalog) -> None:
    off = Recipe(model="tiny-base", adapters=(Adapter(name="plain", weight=0),))
    assert resolve(off, tiny_catalog).digest == resolve(Recipe(model="tiny-base"), tiny_catalog).digest


def test_files_count_by_content_and_not_by_name(tiny_catalog: ModelCatalog, tiny_klein: TinyKlein) -> None:
    by_name = Recipe(model="tiny-base", adapters=(Adapter(name="plain"),))
    adapter = str(tiny_catalog.adapter_path("plain"))
    by_path = Recipe(model=str(tiny_klein.base), adapters=(Adapter(name=adapter),))
    assert resolve(by_name, tiny_catalog).digest == resolve(by_path, tiny_catalog).digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 100}, ["width 100", "96", "112"]),
        ({"height": 1000}, ["height 1000"]),
        ({"width": 272}, ["272", "64 to 256"]),
        ({"width": 48}, ["48", "64"]),
        ({"width": 16}, ["16", "64"]),
    ],
)
def test_sizes_that_the_model_cannot_draw(
    tiny_catalog: ModelCatalog, changes: dict[str, int], words: list[str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve(Recipe.parse({"model": "tiny-base", **changes}), tiny_catalog)
    for word in words:
        assert word in str(caught.value)


def test_unknown_model_and_adapter(tiny_catalog: ModelCatalog) -> None:
    with pytest.raises(ModelError, match="tiny-base"):
        resolve(Recipe(model="tiny-bas"), tiny_catalog)
    with pytest.raises(ModelError, match="plain"):
        resolve(Recipe(model="tiny-base", adapters=(Adapter(name="plian"),)), tiny_catalog)


def test_fields_that_came_later_are_told_only_when_given(tiny_catalog: ModelCatalog) -> None:
    """So that the digests of earlier versions, and with them the names of their pictures, stay what they were."""
    first = {
        *("task", "prompt", "negative_prompt", "seed", "width", "height", "steps", "guidance_scale"),
        *("max_sequence_length", "precision", "adapters", "weights", "format"),
    }
    told = json.loads(resolve(Recipe(model="tiny-base"), tiny_catalog).canonical_json)
    assert set(told) == first
