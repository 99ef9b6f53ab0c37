"""Buckets: nothing enlarged, little cut, and the best of all that is allowed."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from finetune.data.buckets import Size, fit, geometry
from finetune.data.pictures import cut

SIDES = st.integers(16, 3000)


def all_buckets(size: Size, resolution: int, step: int, max_aspect: float, min_side: int) -> dict[Size, float]:
    """Every allowed bucket with its figure of merit, by trying all."""
    width, height = size
    first = -(-min_side // step) * step
    found = {}
    for across in range(first, width + 1, step):
        for down in range(first, height + 1, step):
            if across * down <= resolution**2 and max(across, down) <= max_aspect * min(across, down):
                share = min(across * height, down * width) / max(across * height, down * width)
                found[across, down] = share * across * down / resolution**2
    return found


@given(SIDES, SIDES, st.sampled_from([128, 256, 512]), st.sampled_from([16, 32]), st.sampled_from([1.0, 2.0, 4.0]))
def test_the_bucket_is_the_best_of_all_that_are_allowed(
    width: int, height: int, resolution: int, step: int, max_aspect: float
) -> None:
    allowed = all_buckets((width, height), resolution, step, max_aspect, 64)
    found = fit((width, height), resolution=resolution, step=step, max_aspect=max_aspect, min_side=64)
    if not allowed:
        assert found is None
        return
    assert found in allowed  # so it is no larger than the picture, and a multiple of the step
    assert allowed[found] == pytest.approx(max(allowed.values()), rel=1e-9)


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1024, 1024), (1024, 1024)),
        ((4000, 3000), (1152, 896)),
        ((1500, 1000), (1216, 832)),
        ((1000, 1000), (960, 960)),  # not enlarged to 1024
        ((500, 400), (448, 384)),
    ],
)
def test_usual_pictures(size: Size, bucket: Size) -> None:
    assert fit(size, resolution=1024, step=64, max_aspect=4.0, min_side=64) == bucket


def test_too_small_or_narrow_pictures_have_no_bucket() -> None:
    assert fit((63, 500), resolution=1024, step=16, max_aspect=4.0, min_side=64) is None


@given(SIDES, SIDES, st.integers(0, 5), st.booleans())
def test_the_box_lies_inside_and_has_the_aspect_of_the_bucket(
    width: int, height: int, variant: int, flip: bool
) -> None:
    target = fit((width, height), resolution=256, step=16, max_aspect=4.0, min_side=64)
    assume(target is not None)
    assert target is not None
    assume(variant < 3 * (1 + flip))
    found = geometry((width, height), target, digest="d", variant=variant, crops=3, flip=flip)
    left, upper, right, lower = found.box
    assert 0 <= left < right <= width  # Pillow refuses a box that is a hair outside
    assert 0 <= upper < lower <= height
    assert (right - left) / (lower - upper) == pytest.approx(target[0] / target[1])
    assert right - left == pytest.approx(width) or lower - upper == pytest.approx(height)  # as much as possible is kept
    assert right - left >= target[0] - 1e-6  # never enlarged
    assert found.flip == (variant >= 3)


def test_variants_are_different_places_that_the_content_decides() -> None:
    boxes = {geometry((200, 100), (96, 96), digest="a", variant=v, crops=4, flip=False).box for v in range(4)}
    assert len(boxes) == 4
    centre = geometry((200, 100), (96, 96), digest="a", variant=0, crops=4, flip=False).box
    assert centre == (50.0, 0.0, 150.0, 100.0)
    other = geometry((200, 100), (96, 96), digest="b", variant=1, crops=4, flip=False).box
    assert other != geometry((200, 100), (96, 96), digest="a", variant=1, crops=4, flip=False).box
    with pytest.raises(ValueError, match="variant 4"):
        geometry((200, 100), (96, 96), digest="a", variant=4, crops=4, flip=False)


def test_cutting_takes_the_box_and_mirrors_it() -> None:
    picture = Image.new("RGB", (200, 100), "red")
    picture.paste((0, 0, 255), (0, 0, 100, 100))
    plain = cut(picture, geometry((200, 100), (64, 64), digest="", variant=0, crops=1, flip=True))
    mirrored = cut(picture, geometry((200, 100), (64, 64), digest="", variant=1, crops=1, flip=True))
    assert plain.size == mirrored.size == (64, 64)
    assert plain.getpixel((5, 32)) == (0, 0, 255)
    assert mirrored.getpixel((5, 32)) == (255, 0, 0)
