"""Regional prompts: one region is the plain prompt, and a region's words stay with their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tests.conftest import TinyKlein
from tests.engine.pictures import difference, draw
from workbench.engine import Engine
from workbench.engine.conditions import encode_picture
from workbench.engine.decode import decode
from workbench.engine.kinds import Call, Layout, Text, kind_of
from workbench.engine.regions import attention_mask, join_texts, places_of
from workbench.errors import InputError, RecipeError
from workbench.models import ModelCatalog
from workbench.models.inputs import Inputs
from workbench.models.loading import Components, load
from workbench.recipe import Recipe, resolve
from workbench.recipe.layout import Region, cells

ROWS, COLUMNS = 4, 6
LEFT, RIGHT = "0,0,0.5,1: a red circle", "0.5,0,1,1: a blue square"
BASE = Recipe(model="tiny-base", width=96, height=64, steps=3, seed=4, guidance_scale=3.0)


@pytest.fixture
def engine(tiny_klein: TinyKlein, tmp_path: Path) -> Engine:
    return Engine(ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu"), device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def parts(tiny_catalog: ModelCatalog) -> Components:
    return load(tiny_catalog.model("tiny-base"), "float32", torch.device("cpu"))


def run(engine: Engine, *recipes: Recipe) -> list[Image.Image]:
    results = sorted(engine.run(list(recipes)), key=lambda result: result.index)
    assert [result.error for result in results] == [None] * len(recipes)
    return [result.picture for result in results if result.picture is not None]


def test_one_region_that_is_all_is_the_plain_recipe(engine: Engine) -> None:
    one = BASE.replace(prompt="unread", regions=["0,0,1,1: a red circle"])
    plain = BASE.replace(prompt="a red circle")
    assert resolve(one, engine._catalog).digest == resolve(plain, engine._catalog).digest


def test_a_white_mask_gives_the_plain_picture_bit_for_bit(engine: Engine, tmp_path: Path) -> None:
    Image.new("L", (50, 50), 255).save(tmp_path / "white.png")
    one = BASE.replace(prompt="unread", regions=[{"mask": tmp_path / "white.png", "prompt": "a red circle"}])
    region, plain = run(engine, one, BASE.replace(prompt="a red circle"))
    assert difference(region, plain) == 0


def test_equal_prompts_in_all_regions_see_more_texts_and_no_other_words(engine: Engine) -> None:
    """Not the plain picture, as each text only sees its own places, but each half by itself follows its prompt."""
    first, second, swapped = run(
        engine, BASE.replace(regions=[LEFT, RIGHT]), BASE.replace(regions=[LEFT, RIGHT], seed=5),
        BASE.replace(regions=["0,0,0.5,1: a blue square", "0.5,0,1,1: a red circle"]),
    )  # fmt: skip
    assert difference(first, second) > 1
    assert difference(first, swapped) > 1


def test_a_picture_with_regions_does_not_depend_on_its_neighbours(engine: Engine) -> None:
    recipes = [
        BASE.replace(regions=[LEFT, RIGHT]),
        BASE.replace(regions=["0,0,1,0.5: a star", "0.5,0.5,1,1: a cross"], prompt="the rest", guidance_scale=1.0),
        BASE.replace(regions=[LEFT], prompt="white"),
        BASE.replace(prompt="plain", steps=2),
    ]
    together = run(engine, *recipes)
    for recipe, picture in zip(recipes, together, strict=True):
        assert difference(run(engine, recipe)[0], picture) <= 1


def velocity(parts: Components, text: Text, latents: Tensor, references: tuple[tuple[int, int], ...] = ()) -> Tensor:
    count = sum(rows * columns for rows, columns in references)
    ones = torch.ones(len(latents))
    call = Call(
        latents=latents, text=text, time=500 * ones, next_time=0 * ones, guidance=ones,
        layout=Layout(ROWS, COLUMNS, references), references=torch.ones(len(latents), count, 16) if count else None,
    )  # fmt: skip
    with torch.no_grad():
        return kind_of(parts).velocity(parts, call)


@pytest.mark.parametrize("references", [(), ((4, 5),)], ids=str)
def test_places_outside_a_region_do_not_depend_on_its_prompt_within_a_block(
    parts: Components, references: tuple[tuple[int, int], ...]
) -> None:
    """With one block of each sort; two already pass words on from place to place, as is meant."""
    generator = torch.Generator().manual_seed(0)
    texts = [Text(torch.randn(1, 8, 96, generator=generator)) for _ in range(4)]
    latents = torch.randn(1, ROWS * COLUMNS, 16, generator=generator)
    regions = [Region(prompt="", box=(0, 0, 0.5, 1)), Region(prompt="", box=(0.5, 0, 1, 0.5))]
    places = places_of(regions, ROWS, COLUMNS, Inputs(Path("unused")))
    one, other = join_texts(texts[:3], places), join_texts([texts[0], texts[3], texts[2]], places)
    transformer: Any = parts.transformer
    blocks = transformer.transformer_blocks, transformer.single_transformer_blocks
    transformer.transformer_blocks, transformer.single_transformer_blocks = blocks[0][:1], blocks[1][:0]
    try:
        changed = (velocity(parts, one, latents, references) != velocity(parts, other, latents, references)).any(dim=2)
    finally:
        transformer.transformer_blocks, transformer.single_transformer_blocks = blocks
    assert changed[0].tolist() == places[1].tolist()


def test_a_mask_that_allows_all_changes_nothing(parts: Components) -> None:
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(1, 8, 96, generator=generator)
    latents = torch.randn(1, ROWS * COLUMNS, 16, generator=generator)
    seen = torch.ones(1, 1, ROWS * COLUMNS, dtype=torch.bool)
    masked, plain = velocity(parts, Text(text, seen_by=seen), latents), velocity(parts, Text(text), latents)
    torch.testing.assert_close(masked, plain, rtol=1e-4, atol=1e-5)


def test_the_attention_mask_is_as_described() -> None:
    seen = torch.tensor([[[True, False, False], [False, True, True]]])
    allowed = attention_mask(seen, (2, 2), Layout(1, 3, ((1, 1),)))[0, 0]
    expected = """
        11..1..1
        11..1..1
        ..11.111
        ..11.111
        11..1111
        ..111111
        ..111111
        11111111
    """
    assert ["".join(".1"[value] for value in row) for row in allowed.tolist()] == expected.split()
    unequal = attention_mask(seen, (1, 3), Layout(1, 3))[0, 0]
    assert [int(row.sum()) for row in unequal] == [2, 5, 5, 5, 4, 6, 6]


@given(st.integers(1, 40), st.integers(1, 40), st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True))
def test_boxes_that_share_a_side_share_no_place_and_leave_none_out(rows: int, columns: int, sides: list[float]) -> None:
    cut = min(sides)
    first, second = cells((0, 0, cut, 1), rows, columns), cells((cut, 0, 1, 1), rows, columns)
    assert first[3] == second[2]
    assert (first[2], second[3]) == (0, columns)
    assert first[:2] == second[:2] == (0, rows)


def test_masks_are_scaled_and_belong_where_they_are_mostly_white(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path)
    levels = np.zeros((40, 60), np.uint8)
    levels[:, :25] = 255  # two and a half of six places
    mask = inputs.add(Image.fromarray(levels), mask=True).digest
    own = places_of([Region(prompt="", mask=mask)], ROWS, COLUMNS, inputs).reshape(2, ROWS, COLUMNS)
    assert own[1].tolist() == [[True, True, True, False, False, False]] * ROWS
    assert (own[0] == ~own[1]).all()
    black = inputs.add(Image.new("L", (32, 32)), mask=True).digest
    with pytest.raises(InputError, match="region 1 is white nowhere"):
        places_of([Region(prompt="", mask=black)], ROWS, COLUMNS, inputs)


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ("0,0,0.5: a", "left,top,right,bottom"),
        ("0.5,0,0.5,1: a", "left is less than right"),
        ("0,0,2,1: a", "less than or equal to 1"),
        ([{"prompt": "a"}], "either a box or a mask"),
        ([{"prompt": "a", "box": "0,0,1,1", "mask": "m.png"}], "either a box or a mask"),
        (["0,0,1,1: a"] * 9, "at most 8"),
        ([{"prompt": "a", "bx": "0,0,1,1"}], "bx"),
    ],
)
def test_wrong_regions_are_refused(regions: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Recipe.parse({"regions": regions})


def test_regions_that_hold_nothing_or_have_no_mask_are_refused(engine: Engine) -> None:
    with pytest.raises(RecipeError, match="Region 2 holds none"):
        resolve(BASE.replace(regions=[LEFT, "0.5,0.5,0.51,1: dot"]), engine._catalog)
    with pytest.raises(InputError, match="mask of region 1"):
        resolve(BASE.replace(regions=["nowhere.png: a"]), engine._catalog)


def test_lines_say_what_regions_are() -> None:
    lines = [LEFT, "0.1,0.25,1,0.75: with: colon", "mask.png: soft"]
    recipe = Recipe(regions="\n".join(lines))
    assert [str(region) for region in recipe.regions] == lines
    odd = Region(prompt="two\nlines", box=(0, 0, 1, 1 / 3))
    assert Recipe(regions=[str(odd)]).regions == (odd,)
    assert Recipe(regions=str(Region(prompt="", box=(0, 0, 1, 1 / 3)))).regions[0].box == (0, 0, 1, 1 / 3)


def test_a_tile_that_holds_the_picture_is_the_whole_decode(engine: Engine) -> None:
    plain, same = BASE.replace(prompt="a"), BASE.replace(prompt="a", decode_tile=96)
    assert resolve(plain, engine._catalog).digest == resolve(same, engine._catalog).digest
    assert resolve(BASE.replace(decode_tile=64), engine._catalog).digest != resolve(BASE, engine._catalog).digest
    with pytest.raises(RecipeError, match="multiple of 16"):
        resolve(BASE.replace(decode_tile=70), engine._catalog)


def test_tiles_come_near_the_whole_decode(tmp_path: Path) -> None:
    """With the embedded VAE, as a random one has no reason to be local: nearer the larger the tiles, one tile exact."""
    model = ModelCatalog(tmp_path, device="cpu").model("klein-nano")
    parts = load(model, "float32", torch.device("cpu"))
    tokens = encode_picture(parts, draw(1, 256, 192))
    whole = decode(parts, tokens, 12, 16)
    assert difference(decode(parts, tokens, 12, 16, tile=256), whole) == 0
    squares = []
    for tile in (64, 192):
        tiled = decode(parts, tokens, 12, 16, tile=tile)
        assert tiled.size == whole.size
        squares.append(float(((np.asarray(tiled, float) - np.asarray(whole, float)) ** 2).mean()))
    assert 0 < squares[1] < squares[0] < 255**2 / 10**2.2  # 22 dB


def test_a_recipe_with_tiles_is_another_picture_and_the_same_again(engine: Engine) -> None:
    recipe = BASE.replace(prompt="a", decode_tile=64)
    first, plain = run(engine, recipe, BASE.replace(prompt="a"))
    assert difference(first, plain) > 0
    assert difference(run(engine, recipe)[0], first) == 0
