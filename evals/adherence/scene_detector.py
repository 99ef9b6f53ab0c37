"""A detector for flat pictures of coloured shapes, by classical vision: no weights, and the truth is known.

It is the eye of `evals.scenes`, which shares no code with the renderer that the embedded model learns from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from evals.adherence.detections import Detection
from evals.scenes import judge
from evals.scenes.prompt import SHAPES
from evals.scenes.segment import Blob, segment
from evals.scenes.shapes import shape_of

UNKNOWN = "unknown"


class SceneDetector:
    """Finds circles, squares, triangles, stars, hearts, crosses, rings and diamonds, with their colours and masks.

    A shape that is told for certain has the score 1. One that lies between two shapes has the class "unknown" and half of
    its overlap with the best template as score, so that it counts for nothing that is asked for.
    """

    name = "scenes"
    version = f"1-judge{judge.VERSION}"
    classes: frozenset[str] | None = frozenset(SHAPES)

    def detect(self, pictures: Sequence[Image.Image], classes: Sequence[Sequence[str]]) -> list[tuple[Detection, ...]]:
        """See `Detector.detect`; every object is returned, whatever the classes."""
        return [look(picture) for picture in pictures]


def look(picture: Image.Image) -> tuple[Detection, ...]:
    """All objects of one flat picture, from largest to smallest."""
    small = picture.convert("RGB")
    small.thumbnail((judge.LONGEST_SIDE, judge.LONGEST_SIDE))
    return tuple(_detection(blob, small, picture) for blob in segment(np.asarray(small)).objects)


def background_of(picture: Image.Image) -> str:
    """The name of the colour along the border, "unknown" when it has none."""
    small = picture.convert("RGB")
    small.thumbnail((judge.LONGEST_SIDE, judge.LONGEST_SIDE))
    return segment(np.asarray(small)).background.name


def _detection(blob: Blob, small: Image.Image, picture: Image.Image) -> Detection:
    shape = shape_of(blob.coverage)
    width, height = picture.size
    left, top, right, bottom = blob.box
    mask = np.zeros((small.height, small.width), dtype=bool)
    row, column = round(top * small.height), round(left * small.width)
    mask[row : row + blob.coverage.shape[0], column : column + blob.coverage.shape[1]] = blob.coverage > 0.5
    if small.size != picture.size:
        mask = np.asarray(Image.fromarray(mask).resize(picture.size, Image.Resampling.NEAREST))
    return Detection(
        label=shape.name,
        box=(left * width, top * height, right * width, bottom * height),
        score=1.0 if shape.name != UNKNOWN else shape.score / 2,
        mask=mask,
        colour=blob.colour.name,
    )
