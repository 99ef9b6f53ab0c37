"""The name of a shape, by overlap with templates drawn from formulas.

A shape is brought to a standard place and size by its centre of mass and radius of gyration, which noise on the rim
hardly moves, and compared with a family of templates for each name (slimmer and wider, sharper and blunter, turned a
little). The score is the soft intersection over union with the best template of a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from evals.scenes.prompt import SHAPES

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

GRID = 40  # side of the standard picture in cells
REACH = 2.4  # half its side, in radii of gyration; no shape here reaches farther
LEAST_SCORE = 0.72  # overlap below which a shape has no name
LEAST_SUM = 0.84  # overlap plus lead below which it has none: a poor overlap needs a clear lead
LEAST_MARGIN = 0.012  # lead over the next name below which the name is not certain


@dataclass(frozen=True, slots=True)
class Shaped:
    """A shape's name and how sure it is."""

    name: str  # one of SHAPES, or "unknown"
    score: float  # overlap with the best template, 0 to 1
    margin: float  # lead over the best template of any other name
    second: str  # that other name


def shape_of(coverage: Floats) -> Shaped:
    """Name the shape of one object.

    Args:
        coverage: how much of each pixel the object covers, 0 to 1, shape (height, width).
    """
    standard = _standard(coverage).ravel()  # (GRID * GRID,)
    names, templates = _templates()
    overlap = np.minimum(templates, standard).sum(axis=1)
    scores = overlap / (templates.sum(axis=1) + standard.sum() - overlap)  # the union, since max = a + b - min
    best = {name: float(scores[names == index].max()) for index, name in enumerate(SHAPES)}
    first, second = sorted(best, key=lambda name: -best[name])[:2]
    margin = best[first] - best[second]
    certain = best[first] >= LEAST_SCORE and margin >= LEAST_MARGIN and best[first] + margin >= LEAST_SUM
    return Shaped(first if certain else "unknown", best[first], margin, second)


def _standard(coverage: Floats) -> Floats:
    """`coverage` with its centre of mass in the middle and a radius of gyration of one, (GRID, GRID)."""
    rows, columns = np.indices(coverage.shape, dtype=np.float32)
    mass = float(coverage.sum())
    row, column = float((rows * coverage).sum()) / mass, float((columns * coverage).sum()) / mass
    spread = float((((rows - row) ** 2 + (columns - column) ** 2) * coverage).sum()) / mass
    gyration = max(np.sqrt(spread), 0.5)
    cell = 2 * REACH / GRID * gyration  # pixels per cell
    # Where one cell spans several pixels they are averaged first, or thin parts would be missed.
    source = ndimage.gaussian_filter(coverage, 0.4 * cell) if cell > 1.5 else coverage
    centre = (GRID - 1) / 2
    return np.asarray(
        ndimage.affine_transform(
            source, (cell, cell), (row - cell * centre, column - cell * centre), (GRID, GRID), order=1
        )
    )


@lru_cache(maxsize=1)
def _templates() -> tuple[NDArray[np.int64], Floats]:
    """Index into SHAPES (templates,) and standard pictures (templates, GRID * GRID)."""
    side = np.linspace(-1.5, 1.5, 120, dtype=np.float32)
    names, pictures = [], []
    for index, name in enumerate(SHAPES):
        for aspect, turn, inside in _variants(name):
            turned = _turned(side, aspect, np.deg2rad(turn))
            sharp = _standard(_INSIDE[name](*turned, inside).astype(np.float32))
            names += [index, index]  # as drawn, and as a small blurred one looks
            pictures += [sharp.ravel(), _standard(ndimage.gaussian_filter(sharp, 1.4)).ravel()]
    return np.array(names), np.stack(pictures)


def _variants(name: str) -> Iterator[tuple[float, float, float]]:
    """Width over height, turn in degrees and the shape's own parameter, for each template of a name."""
    aspects: tuple[float, ...] = (0.9, 1.0, 1.12)
    turns: tuple[float, ...] = (-8, 0, 8)
    own: tuple[float, ...] = (0.0,)
    match name:
        case "circle":
            turns = (0,)
        case "ring":
            turns, own = (0,), (0.40, 0.48, 0.56, 0.64, 0.72)  # hole over radius
        case "star":
            own = (0.36, 0.42, 0.50)  # inner over outer radius
        case "cross":
            own = (0.25, 0.32, 0.40)  # half the arm's width over its length
        case "diamond":
            aspects, turns = (0.6, 0.7, 0.8, 0.9, 1.0), (-6, 0, 6)
        case "triangle":
            aspects = (0.8, 0.95, 1.1, 1.25)
        case "heart":
            own = (0.7, 1.0)  # depth of the notch
    return product(aspects, turns, own)


def _turned(side: Floats, aspect: float, turn: float) -> tuple[Floats, Floats]:
    """Coordinates x to the right and y upwards, both (n, n), of a shape that is `aspect` wide and turned by `turn` radians."""
    x, y = np.meshgrid(side, -side)
    return (np.cos(turn) * x + np.sin(turn) * y) / aspect, np.cos(turn) * y - np.sin(turn) * x


def _circle(x: Floats, y: Floats, _: float) -> Mask:
    inside: Mask = x**2 + y**2 < 1
    return inside


def _ring(x: Floats, y: Floats, hole: float) -> Mask:
    return (x**2 + y**2 < 1) & (x**2 + y**2 > hole**2)


def _square(x: Floats, y: Floats, _: float) -> Mask:
    inside: Mask = np.maximum(abs(x), abs(y)) < 1
    return inside


def _diamond(x: Floats, y: Floats, _: float) -> Mask:
    inside: Mask = abs(x) + abs(y) < 1.2
    return inside


def _triangle(x: Floats, y: Floats, _: float) -> Mask:
    # Equilateral at aspect 1: three half planes at distance 0.6 from the centre.
    half = np.sqrt(0.75)
    inside: Mask = (y > -0.6) & (half * x + 0.5 * y < 0.6) & (-half * x + 0.5 * y < 0.6)
    return inside


def _cross(x: Floats, y: Floats, arm: float) -> Mask:
    inside: Mask = (np.maximum(abs(x), abs(y)) < 1) & (np.minimum(abs(x), abs(y)) < arm)
    return inside


def _star(x: Floats, y: Floats, inner: float) -> Mask:
    # Within one tenth of a turn the edge is the straight line from the tip (1, 0) to the notch at 36 degrees.
    angle = np.arctan2(x, y) % (2 * np.pi / 5)
    angle = np.minimum(angle, 2 * np.pi / 5 - angle)  # 0 at a tip, 36 degrees at a notch
    radius = np.hypot(x, y)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    notch_along, notch_across = inner * np.cos(np.pi / 5), inner * np.sin(np.pi / 5)
    inside: Mask = (1 - along) * notch_across > across * (1 - notch_along)
    return inside


def _heart(x: Floats, y: Floats, notch: float) -> Mask:
    # The sextic heart (x^2 + y^2 - 1)^3 < x^2 y^3, its notch made shallower by a weight.
    y = y + 0.1
    inside: Mask = (x**2 + y**2 - 1) ** 3 < notch * x**2 * y**3
    return inside


_INSIDE = {
    "circle": _circle, "square": _square, "triangle": _triangle, "star": _star,
    "heart": _heart, "cross": _cross, "ring": _ring, "diamond": _diamond,
}  # fmt: skip
"""Whether points (x, y) lie inside the shape; the third argument is the shape's own parameter."""
