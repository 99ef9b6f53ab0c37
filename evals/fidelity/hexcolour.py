"""Is the colour the one that was asked for by its HEX code? The scorer `hex-colour`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from evals.adherence.asks import Asked, AskError, read_ask
from evals.adherence.batch import score_each
from evals.adherence.detections import Detection
from evals.adherence.scene_detector import look, scan
from evals.scoring import Metric, Sample, Score, ScorerError, register

NEAR = 10.0  # CIEDE2000 up to which a colour counts as hit; 1 is just visible, 10 is visible at a glance
LEAST_AREA = 0.02  # share of the picture below which a colour is a detail
LEVELS = 12  # colours that a real picture is reduced to
LONGEST = 256  # pixels; larger pictures are reduced to this
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


def lab_of(code: str) -> np.ndarray:
    """CIELAB (3,) under D65 of a HEX code such as "#1f77b4".

    Raises:
        AskError: it is none.
    """
    from skimage.color import rgb2lab

    if not _HEX.fullmatch(code):
        raise AskError(f"{code!r} is no HEX colour.", 'Write six hexadecimal digits, for example "#1f77b4".')
    rgb = np.array(list(bytes.fromhex(code[1:])), dtype=np.float64) / 255
    return np.asarray(rgb2lab(rgb[None, None])[0, 0])


def delta_e(first: np.ndarray, second: np.ndarray) -> float:
    """CIEDE2000 (Sharma et al. 2005) of two CIELAB colours (3,), 0 and up."""
    from skimage.color import deltaE_ciede2000

    return float(deltaE_ciede2000(first, second))


@register("hex-colour", "CIEDE2000 to the HEX colour that was asked for; no weights")
class HexColour:
    """Distance of the colour asked for by `ask["colour"]` from the one that was drawn.

    Args:
        where: "auto" takes the background where the row's kind says so (`ask["colour_of"]` is "background"), the flat shape
            that `ask["objects"]` names where it names one that the scene detector knows, and else the nearest colour that
            fills a fiftieth of the picture. "object", "background" and "anywhere" take one of them always.

    Raises:
        ScorerError: `where` is none of these.
    """

    name = "hex-colour"
    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache
    metrics: tuple[Metric, ...] = (
        Metric("delta_e", "lower", high=None, unit="CIEDE2000", source="Sharma et al. 2005, scikit-image"),
        Metric("near", source=f"share of pictures with a CIEDE2000 below {NEAR:g}"),
    )

    def __init__(self, where: str = "auto") -> None:
        if where not in _PLACES:
            raise ScorerError(f"The scorer hex-colour cannot look {where!r}.", f"Choose one of: {', '.join(_PLACES)}.")
        self._where = where
        self.version = f"1-{where}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample; no value where no colour is asked for, an error where the object is not found."""
        return score_each(samples, lambda part: [self._one(sample) for sample in part], batch=1)

    def _one(self, sample: Sample) -> Score:
        code = sample.ask.get("colour")
        if not code:
            return Score(values={metric.name: None for metric in self.metrics})
        wanted = lab_of(str(code))
        asked = read_ask(sample.ask)
        where = self._where
        if where == "auto":
            where = str(sample.ask.get("colour_of", "")) or ("object" if _flat(asked) else "anywhere")
        found = _measure(sample.picture, where, asked, wanted)
        if found is None:
            # A missing object has no colour, so its distance is unknown; as a miss it counts all the same.
            return Score({"delta_e": None, "near": 0.0}, {"where": where, "colour": None})
        distance = delta_e(found, wanted)
        return Score({"delta_e": distance, "near": float(distance < NEAR)}, {"where": where, "colour": _code(found)})


_PLACES = ("auto", "object", "background", "anywhere")


def _flat(asked: Asked | None) -> bool:
    from evals.scenes.prompt import SHAPES

    return asked is not None and asked.objects[0].label in SHAPES


def _measure(picture: Image.Image, where: str, asked: Asked | None, wanted: np.ndarray) -> np.ndarray | None:
    """The CIELAB colour (3,) at the place, None where the object is not there."""
    match where:
        case "background":
            return np.array(scan(picture)[0].background.lab)
        case "object" if asked is not None:
            return _of_object(picture, asked.objects[0].label, wanted)
        case "anywhere":
            return _nearest(picture, wanted)
    raise AskError(
        f"The row does not say what should have the colour: colour_of is {where!r}.",
        "Name an object, or set colour_of to object, background or anywhere.",
    )


def _of_object(picture: Image.Image, label: str, wanted: np.ndarray) -> np.ndarray | None:
    """Median colour of the object of that class; the nearest of several, since which one was meant is not known."""
    pixels = np.asarray(picture.convert("RGB"))
    colours = [lab_of_object(pixels, each) for each in look(picture) if each.label == label]
    return min(colours, key=lambda colour: delta_e(colour, wanted)) if colours else None


def lab_of_object(pixels: np.ndarray, found: Detection) -> np.ndarray:
    """CIELAB (3,) of the median colour inside a detection's mask, its rim left out where it is thick enough."""
    from scipy import ndimage
    from skimage.color import rgb2lab

    assert found.mask is not None  # the scene detector gives every object one
    core = ndimage.binary_erosion(found.mask, iterations=2)
    inside = pixels[core if core.any() else found.mask]  # (n, 3)
    return np.asarray(rgb2lab(np.median(inside, axis=0)[None, None] / 255)[0, 0])


def _nearest(picture: Image.Image, wanted: np.ndarray) -> np.ndarray:
    """Of the picture's main colours the nearest to `wanted`."""
    from skimage.color import rgb2lab

    small = picture.convert("RGB")
    small.thumbnail((LONGEST, LONGEST))
    reduced = small.quantize(LEVELS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    indices, pixels = np.asarray(reduced), np.asarray(small)
    colours = [
        np.asarray(rgb2lab(np.median(pixels[indices == index], axis=0)[None, None] / 255)[0, 0])
        for index in np.unique(indices)
        if (indices == index).mean() >= LEAST_AREA
    ]
    return min(colours, key=lambda colour: delta_e(colour, wanted))


def _code(lab: np.ndarray) -> str:
    from skimage.color import lab2rgb

    red, green, blue = np.rint(np.clip(lab2rgb(lab[None, None])[0, 0], 0, 1) * 255).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"
