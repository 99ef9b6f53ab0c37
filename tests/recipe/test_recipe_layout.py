"""Boxes: a table behind the prompt, as FLUX.3 reads it; no table for models that do not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TinyKlein
from tests.engine.tiny_families import write_flux3
from workbench.errors import RecipeError
from workbench.models import ModelCatalog
from workbench.recipe import Recipe, resolve
from workbench.recipe.layout import Box, Region

CAT = "cat_1: 0.1,0.2,0.5,1: a black cat"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory, tiny_klein: TinyKlein) -> ModelCatalog:
    home = tmp_path_factory.mktemp("home")
    write_flux3(home / "models" / "tiny-3", seed=2, flow_map=True)
    return ModelCatalog(home, tiny_klein.root, device="cpu")


def test_boxes_become_the_table_that_the_upsampler_writes(catalog: ModelCatalog) -> None:
    """The oracle is the last step of diffusers' own upsampler, on the rows as it makes them from fractions."""
    from diffusers.modular_pipelines.flux3.prompt_upsampler import boxes_to_canvas, reconcile_boxes

    moved = {"id": "cup_1", "box": (0, 0, 0.25, 0.5), "source": "ref_image_0", "source_box": (0.5, 0.5, 1, 1)}
    new = {"id": "lamp_1", "box": (0.5, 0, 0.6, 0.3), "source": "target", "desc": 'a "green" lamp'}
    prompt = "A cat <cat_1> beside a cup <cup_1> under a lamp <lamp_1>."
    own = resolve(Recipe(model="tiny-3", prompt=prompt, boxes=[CAT, moved, new]), catalog).recipe
    theirs = boxes_to_canvas([
        {"id": "cat_1", "bbox": [0.2, 0.1, 1, 0.5], "desc": "a black cat"},
        {"id": "cup_1", "from": "ref_image_0", "src_bbox": [0.5, 0.5, 1, 1], "tgt_bbox": [0, 0, 0.5, 0.25]},
        {"id": "lamp_1", "from": "target", "tgt_bbox": [0, 0.5, 0.3, 0.6], "desc": 'a "green" lamp'},
    ])  # fmt: skip
    assert own.prompt == reconcile_boxes(prompt, theirs)
    assert own.boxes == ()
    typed = Recipe(model="tiny-3", prompt=own.prompt)
    assert resolve(typed, catalog).digest == resolve(own, catalog).digest


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "tiny-base"}, "reads no boxes"),
        ({"prompt": "a cat"}, "does not cite the box cat_1"),
        ({"boxes": [CAT, CAT]}, "Two boxes have one id"),
        ({"boxes": ["cat 1: 0,0,1,1: a"]}, "write id"),
        ({"boxes": ["cat_1: 0,0,1: a"]}, "write id"),
        ({"boxes": [{"id": "cat_1", "box": "0,0,1,1", "source": "ref_image_0"}]}, "source_box"),
        ({"boxes": [{"id": "cat_1", "box": "0,0,1,1", "source": "elsewhere"}]}, "source"),
    ],
)
def test_wrong_boxes_are_refused(catalog: ModelCatalog, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        resolve(Recipe.parse({"model": "tiny-3", "prompt": "a cat <cat_1>", "boxes": [CAT]} | fields), catalog)


def test_flux3_takes_regions_and_boxes_together(catalog: ModelCatalog) -> None:
    both = Recipe(model="tiny-3", prompt="a cat <cat_1>", boxes=[CAT], regions=["0,0,1,0.5: a"])
    resolved = resolve(both, catalog).recipe
    assert resolved.prompt.startswith("a cat <cat_1> [")
    assert [region.prompt for region in resolved.regions] == ["a"]


sides = st.lists(st.floats(0, 1, allow_nan=False), min_size=2, max_size=2, unique=True).map(sorted)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20).map(str.strip)


@given(sides, sides, texts, st.sampled_from([None, "target", "ref_image_1"]))
def test_lines_and_yaml_give_layouts_back(
    across: list[float], down: list[float], text: str, source: str | None
) -> None:
    frame = (across[0], down[0], across[1], down[1])
    box = Box(id="a_1", box=frame, desc=text, source=source, source_box=frame if source == "ref_image_1" else None)
    recipe = Recipe(regions=[Region(prompt=text, box=frame)], boxes=[box])
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    if len((text + "x").splitlines()) == 1:
        assert Recipe(regions=str(recipe.regions[0]), boxes=str(box)).boxes == recipe.boxes
        assert Recipe(regions=str(recipe.regions[0])).regions == recipe.regions


def test_digests_of_recipes_without_layout_stay(catalog: ModelCatalog) -> None:
    values = json.loads(resolve(Recipe(model="tiny-3", prompt="a"), catalog).canonical_json)
    assert not values.keys() & {"regions", "boxes", "decode_tile"}
