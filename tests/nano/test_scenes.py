"""The scene grammar: seeded, inside the canvas, told in words, and split without a list."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.nano.edits import BUILDERS, COMPOSITIONS, EDITS, sample_edit
from workbench.nano.render import CELL, render
from workbench.nano.scenes import BACKGROUNDS, COLOURS, KINDS, SHAPES, Item, Kind, Scene, is_held_out, rgb, sample_scene

SIZES = [(96, 96), (128, 128), (96, 160), (192, 128), (256, 256)]


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(tuple(KINDS)), held_out=st.booleans())
def test_a_scene_stays_on_the_canvas_and_is_told(seed: int, kind: Kind, held_out: bool) -> None:
    scene = sample_scene(Random(seed), kind=kind, held_out=held_out)
    assert scene == sample_scene(Random(seed), kind=kind, held_out=held_out)
    assert scene.held_out is held_out
    assert scene.background in BACKGROUNDS
    assert scene.background in scene.prompt
    for item in scene.items:
        assert item.radius <= item.x <= 1 - item.radius
        assert item.radius <= item.y <= 1 - item.radius
        assert (f'"{item.text}"' if item.text else item.shape) in scene.prompt
        assert item.colour in scene.prompt
        assert item.colour != scene.background


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(tuple(KINDS)), size=st.sampled_from(SIZES))
def test_nothing_is_cut_off_at_any_size(seed: int, kind: Kind, size: tuple[int, int]) -> None:
    scene = sample_scene(Random(seed), kind=kind)
    picture = render(scene, *size)
    assert picture.shape == (size[1], size[0], 3)
    edge = np.concatenate((picture[0], picture[-1], *([] if scene.kind.startswith("word") else [picture[:, 0]])))
    assert (edge == rgb(scene.background)).all()


@pytest.mark.parametrize("kind", BUILDERS)
@given(seed=st.integers(0, 2**32))
def test_an_edit_changes_what_it_names_and_nothing_else(kind: str, seed: int) -> None:
    edit = sample_edit(Random(seed), kind=kind)
    assert edit == sample_edit(Random(seed), kind=kind)
    assert not edit.held_out
    assert len(edit.references) == BUILDERS[kind][0]
    before, after = edit.references[0], edit.target
    kept = set(before.items) & set(after.items)
    match kind:
        case "recolour" | "replace" | "move" | "resize":
            assert len(kept) == len(before.items) - 1 == len(after.items) - 1
            assert before.background == after.background
        case "remove":
            assert set(after.items) < set(before.items)
        case "add" | "write":
            assert set(before.items) < set(after.items)
        case "background":
            assert before.items == after.items
            assert before.background != after.background
        case _:
            assert after.items[0].shape == before.items[0].shape
    assert all(item.colour != after.background for item in after.items)


def test_edits_take_one_reference_and_compositions_up_to_four() -> None:
    assert {BUILDERS[kind][0] for kind in EDITS} == {1}
    assert {BUILDERS[kind][0] for kind in COMPOSITIONS} == {2, 3, 4}
    assert sample_edit(Random(0), references=3).kind == "compose-3"
    assert sample_edit(Random(0), kind="move", held_out=True).held_out


@pytest.mark.parametrize("size", [64, 128, 160])
def test_rendering_is_deterministic_and_uses_the_named_colours(size: int) -> None:
    scene = sample_scene(Random(3), kind="single")
    picture = render(scene, size)
    assert picture.shape == (size, size, 3)
    assert np.array_equal(picture, render(scene, size))
    item = scene.items[0]
    corner_colours = {tuple(picture[y, x]) for y in (0, -1) for x in (0, -1)}
    assert COLOURS[scene.background] in corner_colours
    # The ring is hollow, so its centre shows the background.
    centre = COLOURS[scene.background if item.shape == "ring" else item.colour]
    assert tuple(picture[int(item.y * size), int(item.x * size)]) == centre


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_covers_a_part_of_its_square(shape: str) -> None:
    item = Item(shape, "#1f77b4", 0.5, 0.5, 0.25)
    covered = (render(Scene("single", "white", (item,), ""), 128) == rgb("#1f77b4")).all(-1).sum()
    assert 0.2 * 64**2 < covered < 0.9 * 64**2


def test_letters_stand_in_the_cells_of_the_grid() -> None:
    item = Item("word", "black", 0.5, 0.5, 0.0, "MMMM")
    picture = render(Scene("word", "white", (item,), ""), 128)
    dark = np.asarray((picture < 128).all(-1))
    columns = np.flatnonzero(dark.any(0)) // CELL
    assert sorted(set(columns.tolist())) == [2, 3, 4, 5]
    letters = [dark[:, place * CELL : (place + 1) * CELL] for place in (2, 3, 4, 5)]
    assert all(np.array_equal(letters[0], letter) for letter in letters)


def test_about_one_prompt_in_forty_is_held_out() -> None:
    share = np.mean([is_held_out(f"prompt {number}") for number in range(20_000)])
    assert 0.02 < share < 0.03
