"""Tiles along an axis: they cover it, share what they must, and their weights sum to one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.engine.pictures import difference
from workbench.engine.tiles import spans, weights
from workbench.upscale.refine import blend, tile_seed


@st.composite
def axes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    multiple = draw(st.sampled_from([1, 2, 16]))
    length, tile = (multiple * draw(st.integers(1, 60)) for _ in range(2))
    return length, tile, draw(st.integers(0, tile - 1)), multiple


@given(axes())
def test_tiles_cover_the_axis_and_share_at_least_the_overlap(axis: tuple[int, int, int, int]) -> None:
    length, tile, overlap, multiple = axis
    tiles = spans(length, tile, overlap, multiple)
    assert (tiles[0][0], tiles[-1][1]) == (0, length)
    assert all(stop - start == min(tile, length) for start, stop in tiles)
    assert all(start % multiple == 0 for start, _ in tiles)
    shared = [one[1] - other[0] for one, other in pairwise(tiles)]
    assert all(each >= min(overlap, tile - multiple) for each in shared)
    assert all(one[0] < other[0] for one, other in pairwise(tiles))


@given(axes())
def test_weights_sum_to_one_and_rise_in_order(axis: tuple[int, int, int, int]) -> None:
    tiles = spans(*axis)
    total = np.zeros(axis[0])
    for (start, stop), part in zip(tiles, weights(tiles), strict=True):
        assert part.min() > 0
        total[start:stop] += part
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_what_cannot_be_tiled_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        spans(100, 50, 50)
    with pytest.raises(ValueError, match="multiples"):
        spans(100, 50, 10, 16)


def test_one_tile_and_equal_tiles_blend_to_themselves() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    assert difference(blend([picture], [(0, 50)], [(0, 70)]), picture) == 0
    down, across = spans(50, 20, 6), spans(70, 30, 10)
    tiles = [picture.crop((left, top, right, bottom)) for top, bottom in down for left, right in across]
    assert difference(blend(tiles, down, across), picture) == 0


def test_a_blend_has_no_step_at_the_border_of_a_tile() -> None:
    """Black beside white tiles: the largest step is that of the ramp."""
    across = spans(100, 60, 20)
    tiles = [Image.new("RGB", (60, 8), colour) for colour in ("black", "white")]
    row = np.asarray(blend(tiles, [(0, 8)], across), int)[4, :, 0]
    assert (row[0], row[-1]) == (0, 255)
    assert np.diff(row).min() >= 0
    assert np.diff(row).max() <= 255 / 20 + 1


def test_every_tile_has_a_seed_of_its_own() -> None:
    seeds = {tile_seed(seed, row, column) for seed in range(20) for row in range(10) for column in range(10)}
    assert len(seeds) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
