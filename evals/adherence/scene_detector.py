"""A detector for flat pictures of coloured shapes, by classical vision: no weights, and the truth is known.

It is the eye of `evals.scenes`, which shares no code with the renderer that the embedded model learns from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from evals.adherence.detections import Detection
from evals.scenes import judge, verdict
from evals.scenes.prompt import SHAPES
from evals.scenes.segment import Blob, Seen, segment
from evals.scenes.shapes import shape_of

UNKNOWN = "unknown"


class SceneDetector:
    """Finds circles, squares, triangles, stars, hearts, crosses, rings and diamonds, with their colours and masks.

    A shape that is told for certain has the score 1. One that lies between two shapes has the class "unknown" and half of
    its overlap with the best template as score, so that it counts for nothing that is asked for.
    """

    name = "scenes"
    version = f"1-judge{verdict.VERSION}"
    classes: frozenset[str] | None = frozenset(SHAPES)

    def detect(self, pictures: Sequence[Image.Image], classes: Sequence[Sequence[str]]) -> list[tuple[Detection, ...]]:
        """See `Detector.detect`; every object is returned, whatever the classes."""
        return [look(picture) for picture in pictures]


def look(picture: Image.Image) -> tuple[Detection, ...]:
    """All objects of one flat picture, from largest to smallest."""
    seen, size = scan(picture)
    return tuple(_detection(blob, size, picture.size) for blob in seen.objects)


def background_of(picture: Image.Image) -> str:
    """The name of the colour along the border, "unknown" when it has none."""
    return scan(picture)[0].background.name


def scan(picture: Image.Image) -> tuple[Seen, tuple[int, int]]:
    """What is on a picture, and the width and height that it was reduced to for that."""
    small = picture.convert("RGB")
    small.thumbnail((judge.LONGEST_SIDE, judge.LONGEST_SIDE))
    return _segmented(small.tobytes(), small.size), small.size


@lru_cache(maxsize=8)  # several scorers and rules look at the same picture
def _segmented(pixels: bytes, size: tuple[int, int]) -> Seen:
    return segment(np.frombuffer(pixels, dtype=np.uint8).reshape(size[1], size[0], 3))


def _detection(blob: Blob, small: tuple[int, int], size: tuple[int, int]) -> Detection:
    shape = shape_of(blob.coverage)
    left, top, right, bottom = blob.box
    mask = np.zeros((small[1], small[0]), dtype=bool)
    row, column = round(top * small[1]), round(left * small[0])
    mask[row : row + blob.coverage.shape[0], column : column + blob.coverage.shape[1]] = blob.coverage > 0.5
    if small != size:
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return Detection(
        label=shape.name,
        box=(left * size[0], top * size[1], right * size[0], bottom * size[1]),
        score=1.0 if shape.name != UNKNOWN else shape.score / 2,
        mask=mask,
        colour=blob.colour.name,
    )
