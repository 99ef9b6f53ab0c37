"""The scene grammar: seeded, inside the canvas, told in words, and split without a list."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.nano.render import render
from workbench.nano.scenes import BACKGROUNDS, COLOURS, SHAPES, Kind, is_held_out, sample_scene

KINDS: tuple[Kind, ...] = ("single", "relation", "count", "word", "word+shape")


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS), held_out=st.booleans())
def test_a_scene_stays_on_the_canvas_and_is_told(seed: int, kind: Kind, held_out: bool) -> None:
    scene = sample_scene(Random(seed), kind=kind, held_out=held_out)
    assert scene == sample_scene(Random(seed), kind=kind, held_out=held_out)
    assert scene.held_out is held_out
    assert scene.background in BACKGROUNDS
    assert scene.background in scene.prompt
    for item in scene.items:
        assert item.radius <= item.x <= 1 - item.radius
        if item.text:
            assert f'"{item.text}"' in scene.prompt
        else:
            assert item.radius <= item.y <= 1 - item.radius
            assert item.shape in scene.prompt
        assert item.colour in scene.prompt
        assert item.colour != scene.background


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
    rng = Random(0)
    scene = next(s for s in iter(lambda: sample_scene(rng, kind="single"), None) if s.items[0].shape == shape)
    picture, item = render(scene, 128), scene.items[0]
    covered = (picture == COLOURS[item.colour]).all(-1).sum()
    square = (2 * item.radius * 128) ** 2
    assert 0.2 * square < covered < 0.9 * square


def test_about_one_prompt_in_forty_is_held_out() -> None:
    share = np.mean([is_held_out(f"prompt {number}") for number in range(20_000)])
    assert 0.02 < share < 0.03
