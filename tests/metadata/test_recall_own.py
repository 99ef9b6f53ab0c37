from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import workbench
from workbench.metadata import RecallError, recall
from workbench.metadata.ours import CHUNK
from workbench.recipe import Adapter, Recipe
from workbench.recipe.conditions import Reference
from workbench.store import png
from workbench.store.png import encode_picture

DOT = Image.new("RGB", (1, 1))
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
LEVELS = st.lists(st.floats(0.001, 1), min_size=1, max_size=6, unique=True).map(
    lambda levels: tuple(sorted(levels, reverse=True))
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "model": NAMES,
    "task": st.sampled_from(["text-to-image", "image-to-image", "inpaint", "outpaint", "edit"]),
    "prompt": WORDS,
    "negative_prompt": WORDS,
    "seed": st.integers(0, 2**63 - 1),
    "width": st.integers(16, 8192),
    "height": st.integers(16, 8192),
    "steps": st.integers(1, 1000),
    "guidance_scale": st.floats(0, 100),
    "true_cfg_scale": st.floats(0, 100),
    "shift": st.floats(0.01, 100),
    "sigmas": LEVELS,
    "max_sequence_length": st.integers(8, 4096),
    "precision": st.sampled_from(["float32", "bfloat16"]),
    "adapters": st.lists(st.builds(Adapter, name=NAMES, weight=st.floats(-10, 10)), max_size=3).map(tuple),
    "references": st.lists(
        st.builds(Reference, picture=NAMES, size=st.sampled_from(["fit", "exact", "64x128"])), max_size=3
    ).map(tuple),
    "image": NAMES,
    "strength": st.floats(0, 1),
    "mask": NAMES,
    "quantisation": st.sampled_from(["int8", "fp8", "nf4"]),
    "control": NAMES,
    "control_type": st.sampled_from(["canny", "depth", "map"]),
    "margins": st.tuples(*[st.integers(0, 8192)] * 4),
}
RECIPES = st.fixed_dictionaries({}, optional=FIELDS).map(Recipe.parse)


def test_the_chunk_is_the_store_s() -> None:
    assert CHUNK == png.CHUNK


@settings(max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
@given(RECIPES)
def test_recall_of_write_is_the_recipe(recipe: Recipe) -> None:
    data = encode_picture(DOT, {"recipe": recipe.model_dump(mode="json"), "digest": "ab"})
    found = recall(data)
    assert (found.recipe, found.source, found.left_out, found.digest) == (recipe, "workbench", (), "ab")


@settings(max_examples=200)
@given(RECIPES)
def test_yaml_of_a_recalled_recipe_reads_back(recipe: Recipe) -> None:
    found = recall(encode_picture(DOT, {"recipe": recipe.model_dump(mode="json")}))
    assert Recipe.from_yaml(found.to_yaml()) == recipe


def test_a_recipe_of_another_version_comes_back_field_by_field() -> None:
    fields = {"model": "m", "prompt": "a star", "steps": 4, "sampler_of_the_future": "rk9", "seed": -1}
    found = recall(encode_picture(DOT, {"recipe": fields}))
    assert found.recipe == Recipe(model="m", prompt="a star", steps=4)
    assert [part.name for part in found.left_out] == ["sampler_of_the_future", "seed"]
    assert not found.complete
    assert "another version" in found.notes[0]


def test_what_the_store_writes_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    recipe = Recipe(prompt="a red circle", seed=7, width=64, height=64, steps=2, adapters=(Adapter(name="a"),))
    metadata = {"recipe": recipe.model_dump(mode="json"), "digest": "00", "environment": {"torch": "2"}}
    path.write_bytes(encode_picture(DOT, metadata))
    found = workbench.recall(path)
    assert found.recipe == recipe
    assert found.details["environment"] == {"torch": "2"}
    html = found._repr_html_()
    assert "a red circle" in html
    assert "left out" not in html
    assert json.loads(json.dumps(found.as_json()))["recipe"]["prompt"] == "a red circle"


def test_our_words_for_people_are_enough_where_our_chunk_is_gone() -> None:
    from tests.metadata.recall_samples import png as write

    recipe = Recipe(
        model="klein-nano", prompt="a star\ntwo lines", negative_prompt="red", seed=3, width=64, height=96, steps=4,
        guidance_scale=2.5, adapters=(Adapter(name="ink", weight=0.5), Adapter(name="oil", weight=-1.0)),
    )  # fmt: skip
    found = recall(write({"parameters": png.in_words(recipe.model_dump(mode="json"))}))
    assert found.recipe == recipe
    assert found.source == "AUTOMATIC1111"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no PNG, JPEG or WebP"),
        (b"GIF89a", "no PNG, JPEG or WebP"),
        (encode_picture(DOT, {}), "cannot be read: it holds no recipe"),
    ],
)
def test_files_that_say_nothing(data: bytes, why: str) -> None:
    with pytest.raises(RecallError, match=why):
        recall(data)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecallError, match=r"There is no file '.*none\.png'"):
        recall(tmp_path / "none.png")
    with pytest.raises(RecallError, match="is a directory"):
        recall(tmp_path)
