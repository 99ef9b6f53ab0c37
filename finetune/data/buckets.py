"""Aspect buckets: pictures of one batch have one size, nothing is enlarged, and little is cut off.

For every resolution R, a picture of w x h goes to the bucket (W, H), multiples of the step, with W <= w, H <= h,
W H <= R^2 and bounded aspect, that keeps most of it:

    kept(W, H) = share of the picture inside the crop  x  W H / R^2

so that neither content nor pixels are given away for the sake of the other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """What all pictures of one batch share, so that they stack: sizes as (width, height) in pixels."""

    width: int
    height: int
    references: tuple[Size, ...] = ()

    def __str__(self) -> str:
        more = "".join(f" + {width}x{height}" for width, height in self.references)
        return f"{self.width}x{self.height}{more}"


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a picture becomes its bucket's size: the box that is kept, in pixels of the picture, and a mirror."""

    box: tuple[float, float, float, float]  # left, upper, right, lower
    size: Size  # the box is scaled to this; never larger than the box
    flip: bool


@lru_cache(maxsize=65536)
def fit(size: Size, *, resolution: int, step: int, max_aspect: float, min_side: int) -> Size | None:
    """The bucket of a picture, or None when it is too small for any.

    Args:
        size: of the picture, in pixels.
        resolution: side of the square whose area a bucket does not pass.
        step: sides are multiples of this.
        max_aspect: longest over shortest side of a bucket, at most.
        min_side: smallest side of a bucket.
    """
    width, height = size
    best: tuple[tuple[float, float, int], Size] | None = None
    first = -(-min_side // step) * step
    widest = min(width, int(resolution * sqrt(max_aspect)))
    for across in range(first, widest + 1, step):
        least = max(first, -int(-across / max_aspect // step) * step)
        most = int(min(height, resolution**2 / across, across * max_aspect) // step) * step
        if least > most:
            continue
        ideal = (
            across * height // width // step * step
        )  # the height that cuts nothing off lies between it and a step more
        for down in {min(max(ideal + more, least), most) for more in (0, step)}:
            share = min(across * height, down * width) / max(across * height, down * width)
            rank = (round(share * across * down / resolution**2, 12), share, across * down)
            if best is None or rank > best[0]:
                best = rank, (across, down)
    return best and best[1]


def geometry(size: Size, target: Size, *, digest: str, variant: int, crops: int, flip: bool) -> Geometry:
    """Where a picture of `size` is cut for a bucket of `target`.

    Args:
        size: of the picture, in pixels.
        target: size of the bucket.
        digest: of the picture's content; decides where the random crops lie.
        variant: 0 to `crops` - 1, and as many again, mirrored, with `flip`. 0 is the centre.
        crops: number of places.
        flip: whether there are mirrored variants.

    Raises:
        ValueError: no such variant.
    """
    if not 0 <= variant < crops * (1 + flip):
        raise ValueError(f"variant {variant} of {crops * (1 + flip)}")
    if size[0] * target[1] <= size[1] * target[0]:  # the whole width is kept; exact, as Pillow refuses a hair outside
        width, height = float(size[0]), size[0] * target[1] / target[0]
    else:
        width, height = size[1] * target[0] / target[1], float(size[1])
    place = variant % crops
    across, down = (0.5, 0.5) if place == 0 else _place(digest, place)
    left, upper = (size[0] - width) * across, (size[1] - height) * down
    right, lower = min(left + width, size[0]), min(upper + height, size[1])
    return Geometry((left, upper, right, lower), target, variant >= crops)


def _place(digest: str, place: int) -> tuple[float, float]:
    drawn = hashlib.sha256(f"crop\0{digest}\0{place}".encode()).digest()
    return int.from_bytes(drawn[:4], "big") / 2**32, int.from_bytes(drawn[4:8], "big") / 2**32
