"""Find the background and the objects of a flat picture, soft and noisy as small generative models draw them.

The background is the most frequent colour of the frame. Objects are regions that differ from it; each one's colour is
the most frequent colour of its core, and its outline lies where a pixel is half that colour and half background. So a
soft rim belongs to its object without widening it, and two objects whose rims touch stay two.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab

from evals.scenes.colours import Lab, Named, name_of

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

CONTRAST = 15.0  # Euclidean CIELAB distance from the background at which a pixel is something else
SHADE = 20.0  # Euclidean CIELAB distance from the background up to which its own name means shading
SAME_COLOUR = 15.0  # Euclidean CIELAB radius of one flat colour with its noise
LEAST_AREA = 0.0035  # share of the picture below which a region is a speck, not an object
LEAST_STROKE = 0.0006  # the same for the strokes of letters: the dot of an i has 16 of 16,384 pixels
LEAST_SHARE = 0.08  # a second colour must fill this share of a region's core to be an object of its own
THIN = 3.5  # pixels from the rim to the middle of the widest part, below which a region is a stroke
SMALL_HOLE = 0.02  # share of an object's area below which a hole is noise


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """One connected object. Lengths are fractions of the picture: 0 is left or top, 1 is right or bottom."""

    colour: Named
    area: float  # share of the picture
    x: float  # centre of mass
    y: float
    box: tuple[float, float, float, float]  # left, top, right, bottom
    coverage: Floats  # (height, width) of the box in pixels, 0 to 1: how much of each pixel is the object

    @property
    def extent(self) -> float:
        """Longest side of the box, a fraction of the picture's side."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class Seen:
    """What is on a picture: its background, its objects from largest to smallest, and strokes too small for objects."""

    background: Named
    objects: tuple[Blob, ...]
    specks: tuple[Blob, ...]


def segment(picture: NDArray[np.uint8]) -> Seen:
    """Separate a picture into background and objects.

    Args:
        picture: sRGB, 0 to 255, shape (height, width, 3).
    """
    rgb: Floats = picture.astype(np.float32) / np.float32(255)  # (h, w, 3)
    calm = ndimage.uniform_filter(rgb, size=(3, 3, 1), mode="nearest")  # a third of the noise, for decisions on colour
    lab = np.asarray(rgb2lab(calm), dtype=np.float32)
    background_lab, background_rgb = _background(lab, rgb)
    differs = np.linalg.norm(lab - background_lab, axis=-1) > CONTRAST  # (h, w)
    regions, count = ndimage.label(differs, structure=np.ones((3, 3)))
    blobs: list[Blob] = []
    for index, window in enumerate(ndimage.find_objects(regions, max_label=count), start=1):
        wide = _widen(window, picture.shape[:2], 2)
        region = regions[wide] == index
        blobs += _split(
            region, rgb=rgb[wide], lab=lab[wide], background=background_rgb, window=wide, size=picture.shape[:2]
        )
    background = name_of(_tuple(background_lab))
    # Shading of the background is no object; colours without a name are not alike for that.
    blobs = [
        blob
        for blob in blobs
        if blob.colour.name != background.name
        or background.name == "unknown"
        or float(np.linalg.norm(np.subtract(blob.colour.lab, background_lab))) > SHADE
    ]
    blobs.sort(key=lambda blob: -blob.area)
    return Seen(
        background,
        tuple(blob for blob in blobs if blob.area >= LEAST_AREA),
        tuple(blob for blob in blobs if blob.area < LEAST_AREA),
    )


def _background(lab: Floats, rgb: Floats) -> tuple[Floats, Floats]:
    """Lab (3,) and sRGB (3,) of the background: the most frequent colour of a frame along the border."""
    width = max(2, min(lab.shape[:2]) // 32)
    frame = np.ones(lab.shape[:2], dtype=bool)
    frame[width:-width, width:-width] = False
    mode = _dominant(lab[frame])
    alike = np.linalg.norm(lab - mode, axis=-1) < SAME_COLOUR  # (h, w)
    return np.median(lab[alike], axis=0), np.median(rgb[alike], axis=0)


def _dominant(lab: Floats) -> Floats:
    """The most frequent colour (3,) among `lab` of shape (n, 3): the fullest cell of a coarse histogram, refined."""
    cells = np.floor(lab / SAME_COLOUR + 0.5).astype(np.int64) + 16  # every coordinate within 0 to 31
    codes = (cells[:, 0] * 32 + cells[:, 1]) * 32 + cells[:, 2]
    fullest = np.bincount(codes).argmax()
    centre = lab[codes == fullest].mean(axis=0)
    for _ in range(2):  # a colour on the edge of a cell moves to its centre of mass
        near = np.linalg.norm(lab - centre, axis=-1) < SAME_COLOUR
        if near.any():
            centre = np.median(lab[near], axis=0)
    return np.asarray(centre, dtype=np.float32)


def _split(
    region: Mask, *, rgb: Floats, lab: Floats, background: Floats, window: tuple[slice, slice], size: tuple[int, ...]
) -> list[Blob]:
    """The objects of one region: one for each colour that fills a good part of its core."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]  # a border of the picture is an edge too
    if depth.max() > THIN:
        core = region & (depth >= 3.0)
    else:  # strokes of letters: every pixel is near a rim, the ones farthest from the background say the colour best
        lab = np.asarray(rgb2lab(rgb), dtype=np.float32)
        contrast = np.linalg.norm(lab - rgb2lab(background[None, None]), axis=-1)
        core = region & (contrast >= np.percentile(contrast[region], 65))
    colours = _core_colours(core, lab, rgb, background)
    distances = np.array([np.linalg.norm(lab - colour_lab, axis=-1) for colour_lab, _ in colours])  # (colours, h, w)
    nearest = distances.argmin(axis=0)  # (h, w)
    near_region = ndimage.binary_dilation(region, np.ones((3, 3)), iterations=2)
    blobs: list[Blob] = []
    for shades in _by_name([colour_lab for colour_lab, _ in colours]):
        coverage = np.max([_coverage(rgb, background, colours[shade][1]) for shade in shades], axis=0) * near_region
        if len(shades) < len(colours):
            coverage *= np.isin(nearest, shades) & (distances[shades].min(axis=0) < 3 * SAME_COLOUR)
        colour_lab = colours[shades[0]][0]
        pieces, count = ndimage.label(coverage > 0.5)
        for piece, part in enumerate(ndimage.find_objects(pieces, max_label=count), start=1):
            place = (part[0].start + window[0].start, part[1].start + window[1].start)
            blob = _blob(pieces[part] == piece, coverage[part], colour_lab, place, size)
            if blob.area >= LEAST_STROKE:
                blobs.append(blob)
    return blobs


def _core_colours(core: Mask, lab: Floats, rgb: Floats, background: Floats) -> list[tuple[Floats, Floats]]:
    """Lab (3,) and sRGB (3,) of the colours of a core, from the most frequent down; thin rims are no colours."""
    left, total = core.copy(), int(core.sum())
    found: list[tuple[Floats, Floats]] = []
    while left.sum() >= max(1.0, LEAST_SHARE * total) and len(found) < 4:
        centre = _dominant(lab[left])
        alike = left & (np.linalg.norm(lab - centre, axis=-1) < SAME_COLOUR)
        alike = alike if alike.any() else left
        colour_lab, colour_rgb = np.median(lab[alike], axis=0), np.median(rgb[alike], axis=0)
        if found:
            # Blur makes rims of every mixture of an object with what is around it: only a thick patch is another object.
            around = [background, *(other for _, other in found)]
            least = 3.5 if any(_mixture(colour_rgb, a, b) for a, b in combinations(around, 2)) else 2.0
            if alike.sum() < LEAST_SHARE * total or ndimage.distance_transform_edt(alike).max() < least:
                break
        found.append((colour_lab, colour_rgb))
        left &= np.linalg.norm(lab - colour_lab, axis=-1) >= 1.4 * SAME_COLOUR
    return found


def _by_name(colours: list[Floats]) -> list[list[int]]:
    """Indices of colours with one name together: shades of one colour are one object. Nameless ones stay alone."""
    groups: dict[str, list[int]] = {}
    for index, colour in enumerate(colours):
        name = name_of(_tuple(colour)).name
        groups.setdefault(f"{name} {index}" if name == "unknown" else name, []).append(index)
    return list(groups.values())


def _coverage(rgb: Floats, background: Floats, colour: Floats) -> Floats:
    """How far each pixel is from the background (0) towards `colour` (1), (h, w)."""
    span = colour - background
    return np.asarray(np.clip((rgb - background) @ span / float(span @ span), 0, 1), dtype=np.float32)


def _mixture(colour: Floats, first: Floats, second: Floats) -> bool:
    """Whether an sRGB colour lies near the line from `first` to `second`."""
    span = second - first
    part = np.clip((colour - first) @ span / max(float(span @ span), 1e-6), 0, 1)
    return float(np.linalg.norm(first + part * span - colour)) < 0.12


def _blob(mask: Mask, coverage: Floats, lab: Floats, place: tuple[int, int], size: tuple[int, ...]) -> Blob:
    """Measure one piece whose box begins at `place` (row, column) in the picture of `size` (height, width)."""
    (top, left), (height, width) = place, size[:2]
    filled = ndimage.binary_fill_holes(mask)
    holes, count = ndimage.label(filled & ~mask)
    areas = np.bincount(holes.ravel(), minlength=count + 1)
    noise = (areas < SMALL_HOLE * mask.sum())[holes] & (holes > 0)
    soft = np.where(noise, 1.0, coverage * (mask | _rim(mask))).astype(np.float32)
    rows, columns = np.nonzero(mask | noise)
    return Blob(
        colour=name_of(_tuple(lab)),
        area=len(rows) / (height * width),
        x=(left + columns.mean() + 0.5) / width,
        y=(top + rows.mean() + 0.5) / height,
        box=(left / width, top / height, (left + mask.shape[1]) / width, (top + mask.shape[0]) / height),
        coverage=soft,
    )


def _rim(mask: Mask) -> Mask:
    return np.asarray(ndimage.binary_dilation(mask))


def _widen(window: tuple[slice, ...], size: tuple[int, ...], by: int) -> tuple[slice, slice]:
    rows, columns = window[0], window[1]
    return (
        slice(max(0, rows.start - by), min(size[0], rows.stop + by)),
        slice(max(0, columns.start - by), min(size[1], columns.stop + by)),
    )


def _tuple(lab: Floats) -> Lab:
    return float(lab[0]), float(lab[1]), float(lab[2])
