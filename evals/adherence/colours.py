"""Names the colour of a detected object: by its pixels in CIELAB, or by CLIP as GenEval does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from evals.adherence.detections import Detection
from evals.scenes.colours import EXEMPLARS

if TYPE_CHECKING:
    from evals.adherence.encoders import DualEncoder

GENEVAL_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
"""The ten names that GenEval tells apart."""

CENTRE = 0.8  # share of a box's sides that is looked at where there is no mask
TEMPLATES = ("a photo of a {colour} {label}", "a photo of a {colour}-colored {label}", "a photo of a {colour} object")


class ColourNamer(Protocol):
    """Names the colours of objects of one class in one picture."""

    version: str

    def name(self, picture: Image.Image, objects: Sequence[Detection], label: str) -> list[str]:
        """One colour name for each object."""
        ...


class PixelColours:
    """The nearest name in CIELAB of the object's most frequent colour; needs no weights.

    Args:
        names: the names to choose from, of `evals.scenes.colours.EXEMPLARS`. Some name is always given, as by CLIP.
    """

    def __init__(self, names: Sequence[str] = tuple(EXEMPLARS)) -> None:
        self.names = tuple(names)
        self.version = f"pixels-1-{len(self.names)}"

    def name(self, picture: Image.Image, objects: Sequence[Detection], label: str) -> list[str]:
        """See `ColourNamer.name`."""
        pixels = np.asarray(picture.convert("RGB"))  # (h, w, 3)
        return [self._nearest(pixels, each) for each in objects]

    def _nearest(self, pixels: np.ndarray, found: Detection) -> str:
        from skimage.color import deltaE_ciede2000, rgb2lab

        inside = _inside(pixels, found)  # (n, 3)
        if not len(inside):
            raise ValueError(f"the box {found.box} of {found.label!r} holds no pixel")
        # A cell of a coarse histogram, not the mean: the mean of a red and white awning is pink.
        cells = (inside.astype(np.int64) // 32) @ np.array([64, 8, 1])
        fullest = np.median(inside[cells == np.bincount(cells).argmax()], axis=0)
        lab = rgb2lab(fullest[None, None] / 255)[0]  # (1, 3)
        distances = {name: float(deltaE_ciede2000(lab, _labs(EXEMPLARS[name])).min()) for name in self.names}
        return min(distances, key=lambda name: distances[name])


class ClipColours:
    """GenEval's classifier: CLIP between a cut-out of the object on gray and three sentences for each colour.

    Args:
        encoder: CLIP; the reference uses ViT-L/14 by OpenAI.
    """

    def __init__(self, encoder: DualEncoder) -> None:
        self.version = f"clip-1-{encoder.version}"
        self._encoder = encoder

    def name(self, picture: Image.Image, objects: Sequence[Detection], label: str) -> list[str]:
        """See `ColourNamer.name`."""
        cuts = [cut_out(picture, each) for each in objects]
        texts = [template.format(colour=colour, label=label) for colour in GENEVAL_COLOURS for template in TEMPLATES]
        vectors = self._encoder.texts(texts).reshape(len(GENEVAL_COLOURS), len(TEMPLATES), -1).mean(axis=1)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)  # (colours, d): sentences of one colour averaged
        likeness = self._encoder.pictures(cuts) @ vectors.T  # (objects, colours)
        return [GENEVAL_COLOURS[index] for index in likeness.argmax(axis=1)]


def cut_out(picture: Image.Image, found: Detection) -> Image.Image:
    """The object on gray (#999) where its mask is known, cut to its box."""
    rgb = picture.convert("RGB")
    if found.mask is not None:
        if found.mask.shape != (rgb.height, rgb.width):
            raise ValueError(f"a mask of {found.mask.shape} for a picture of {(rgb.height, rgb.width)}")
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "#999999"), Image.fromarray(found.mask))
    left, top, right, bottom = map(round, found.box)
    return rgb.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def _inside(pixels: np.ndarray, found: Detection) -> np.ndarray:
    """The pixels (n, 3) of the mask, or of the middle of the box."""
    if found.mask is not None and found.mask.any():
        return np.asarray(pixels[found.mask])
    left, top, right, bottom = found.box
    aside, down = (right - left) * (1 - CENTRE) / 2, (bottom - top) * (1 - CENTRE) / 2
    rows = slice(max(0, int(top + down)), max(0, int(np.ceil(bottom - down))))
    columns = slice(max(0, int(left + aside)), max(0, int(np.ceil(right - aside))))
    return np.asarray(pixels[rows, columns].reshape(-1, 3))


def _labs(codes: Sequence[str]) -> np.ndarray:
    from skimage.color import rgb2lab

    rgb = np.array([list(bytes.fromhex(code)) for code in codes], dtype=np.float64)
    return np.asarray(rgb2lab(rgb[None] / 255)[0])
