"""Edit faithfulness: is changed what was asked for, and unchanged all else? The scorer `edits`.

Flat scenes are judged object by object, with the classical vision of `evals.scenes`: every object of the reference must be
found again in its place, except the one that the edit is about. Other pictures are judged by the pixels inside and outside
the region that may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from evals.adherence.asks import AskError
from evals.adherence.batch import score_each
from evals.adherence.detections import Detection
from evals.adherence.rules import relative_position
from evals.adherence.scene_detector import background_of, look
from evals.fidelity.edit_ask import EditAsk, read_edit, region_of
from evals.fidelity.hexcolour import NEAR, delta_e, lab_of, lab_of_object
from evals.fidelity.pixels import same_size
from evals.scenes.colours import name_of
from evals.scoring import Metric, Sample, Score, register

PLACE = 0.10  # share of the side by which a kept object's centre may move
GROWTH = 1.25  # factor by which a kept object's extent may change
RESIZED = 1.15  # factor from which an object is larger or smaller
SIDE = 0.42  # share of the side within which a moved object's centre lies at that side
MARGIN = 0.04  # share of the side by which the changed region is widened
VISIBLE = 5.0  # CIEDE2000 from which a pixel has changed
LEAST_INSIDE = 0.10  # share of a region's pixels that must change
MOST_OUTSIDE = 0.05  # share of the other pixels that may


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One object of a picture, in fractions of its sides."""

    found: Detection
    x: float
    y: float
    extent: float
    lab: np.ndarray  # (3,)

    def near(self, other: Seen) -> bool:
        """Whether both have the same place."""
        return max(abs(self.x - other.x), abs(self.y - other.y)) <= PLACE

    def grown(self, other: Seen) -> float:
        """How many times as large this is as `other`."""
        return self.extent / other.extent

    def __str__(self) -> str:
        return f"{self.found.colour} {self.found.label}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an edit."""

    changed: bool
    kept: float  # share of what should stay that stayed
    why: tuple[str, ...]
    region: np.ndarray | None  # pixels (height, width) that the edit was about, where that can be told


def objects_of(picture: Image.Image) -> list[Seen]:
    """All objects of a flat picture."""
    pixels = np.asarray(picture.convert("RGB"))
    width, height = picture.size
    seen = []
    for each in look(picture):
        left, top, right, bottom = each.box
        extent = max((right - left) / width, (bottom - top) / height)
        place = ((left + right) / 2 / width, (top + bottom) / 2 / height)
        seen.append(Seen(each, *place, extent, lab_of_object(pixels, each)))
    return seen


def judge_scene(reference: Image.Image, picture: Image.Image, edit: EditAsk) -> Verdict:
    """Hold an edited flat scene against its reference.

    Raises:
        AskError: the reference does not show what the edit is about.
    """
    before, after = objects_of(reference), objects_of(picture)
    target = _target(edit, before)
    stays = [each for each in before if each is not target]
    why: list[str] = []
    found = 0
    rest = list(after)
    for each in stays:
        same = [other for other in rest if _same(each, other)]
        if same:
            rest.remove(min(same, key=lambda other: abs(other.x - each.x) + abs(other.y - each.y)))
            found += 1
        else:
            why.append(f"the {each} is not where it was")
    grounds = background_of(reference), background_of(picture)
    if edit.kind != "background" and grounds[0] != grounds[1]:
        why.append(f"the background turned {grounds[1]}")
    ground_kept = edit.kind == "background" or grounds[0] == grounds[1]
    changed, used = _changed(edit, target, rest, after, grounds[1])
    if not changed:
        why.append(f"the edit {edit.kind} was not done")
    extra = 0 if edit.kind == "write" else len([each for each in rest if each not in used])
    if extra:
        why.append(f"{extra} objects that nobody asked for")
    # A changed object that is wrong takes the place of the right one, so it is no stranger.
    extra -= min(extra, 1) if not changed and not used and edit.kind != "background" else 0
    kept = (found + ground_kept) / (len(stays) + 1 + extra)
    about = [*([target] if target else []), *rest]
    region = None if edit.kind == "background" or not about else _around(about, picture)
    return Verdict(changed, kept, tuple(why), region)


def _target(edit: EditAsk, before: Sequence[Seen]) -> Seen | None:
    """The object that the edit is about; None for edits that only add."""
    if edit.kind in ("add", "write", "background"):
        return None
    fits = [
        each
        for each in before
        if each.found.label == edit.changed.label and (not edit.changed.colour or _has(each, edit.changed.colour))
    ]
    if len(fits) != 1:
        raise AskError(f"The reference shows {len(fits)} objects that fit {edit.changed.label!r}, not one.")
    return fits[0]


def _same(first: Seen, second: Seen) -> bool:
    """Whether an object is still itself: shape, colour, place and size."""
    ratio = second.grown(first)
    return (
        first.found.label == second.found.label
        and (first.found.colour == second.found.colour or delta_e(first.lab, second.lab) < NEAR)
        and first.near(second)
        and 1 / GROWTH <= ratio <= GROWTH
    )


def _has(seen: Seen, colour: str) -> bool:
    """Whether an object has a colour, given by name or HEX code."""
    if colour.startswith("#"):
        return delta_e(seen.lab, lab_of(colour)) < NEAR
    return name_of((float(seen.lab[0]), float(seen.lab[1]), float(seen.lab[2]))).name == colour


def _changed(
    edit: EditAsk, target: Seen | None, rest: Sequence[Seen], after: Sequence[Seen], ground: str
) -> tuple[bool, list[Seen]]:
    """Whether the edit was done, and the objects that did it."""
    to = edit.to
    match edit.kind:
        case "remove":
            return not rest, []
        case "background":
            return ground == to.colour, []
        case "write":
            inked = [each for each in rest if not to.colour or _has(each, to.colour)]
            return len(inked) > len(rest) / 2, list(rest)
    for each in rest:
        if _done(edit, target, each, after):
            return True, [each]
    return False, []


def _done(edit: EditAsk, target: Seen | None, new: Seen, after: Sequence[Seen]) -> bool:
    """Whether one object is what the edit should have made of `target`, or should have added."""
    to = edit.to
    label = to.label or (target.found.label if target else "")
    if new.found.label != label:
        return False
    if to.colour and not _has(new, to.colour):
        return False
    if target and not to.colour and new.found.colour != target.found.colour and delta_e(new.lab, target.lab) >= NEAR:
        return False
    match edit.kind:
        case "recolour" | "replace":
            assert target is not None
            return new.near(target)
        case "move":
            return {"left": new.x < SIDE, "right": new.x > 1 - SIDE, "top": new.y < SIDE, "bottom": new.y > 1 - SIDE}[
                to.place or "left"
            ]
        case "resize":
            assert target is not None
            grown = new.grown(target)
            return grown >= RESIZED if to.size == "larger" else grown <= 1 / RESIZED
        case "add":
            others = [each for each in after if each is not new and each.found.label == to.of]
            return to.relation is None or any(
                to.relation in relative_position(new.found.box, each.found.box) for each in others
            )
    return False


def _around(objects: Sequence[Seen], picture: Image.Image) -> np.ndarray:
    """The boxes of objects, widened, as pixels (height, width) of `picture`."""
    width, height = picture.size
    region = np.zeros((height, width), dtype=bool)
    for each in objects:
        reach = each.extent / 2 + MARGIN
        rows = slice(max(0, round((each.y - reach) * height)), max(0, round((each.y + reach) * height)))
        columns = slice(max(0, round((each.x - reach) * width)), max(0, round((each.x + reach) * width)))
        region[rows, columns] = True
    return region


def judge_region(reference: Image.Image, picture: Image.Image, region: np.ndarray) -> Verdict:
    """Hold any edited picture against its reference by the pixels inside and outside `region` (height, width)."""
    distance = pixel_distances(reference, picture)
    inside, outside = float((distance[region] > VISIBLE).mean()), float((distance[~region] > VISIBLE).mean())
    why = [f"{inside:.0%} of the region changed"] if inside < LEAST_INSIDE else []
    why += [f"{outside:.0%} of the rest changed"] if outside > MOST_OUTSIDE else []
    return Verdict(inside >= LEAST_INSIDE, 1 - outside, tuple(why), region)


def pixel_distances(first: Image.Image, second: Image.Image) -> np.ndarray:
    """CIEDE2000 of equal pixels, (height, width).

    Raises:
        AskError: the sizes differ.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    a, b = same_size(first, second)
    return np.asarray(deltaE_ciede2000(rgb2lab(a), rgb2lab(b)))


@register(
    "edits", "is changed what was asked for, and unchanged all else? for flat scenes and marked regions; no weights"
)
class EditScorer:
    """Faithfulness of an edit to `ask["edit"]`, from the first reference to the picture."""

    name = "edits"
    reads = ("references",)
    version = "1"
    metrics: tuple[Metric, ...] = (
        Metric("faithful", source="changed as asked, and all else kept"),
        Metric("changed", source="what was asked for is done"),
        Metric("kept", source="share of objects and background, or of the other pixels, that stay"),
        Metric("outside_delta_e", "lower", high=None, unit="CIEDE2000", source="mean over pixels outside the edit"),
    )

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample; no value where no edit is asked for."""
        return score_each(samples, lambda part: [self._one(sample) for sample in part], batch=1)

    def _one(self, sample: Sample) -> Score:
        edit = read_edit(sample.ask)
        if edit is None:
            return Score(values={metric.name: None for metric in self.metrics})
        if not sample.references:
            raise AskError("The row asks for an edit and has no reference to start from.")
        reference, picture = sample.references[0], sample.picture
        if edit.kind == "region":
            verdict = judge_region(reference, picture, region_of(edit, *picture.size))
            faithful = verdict.changed and verdict.kept >= 1 - MOST_OUTSIDE
        else:
            verdict = judge_scene(reference, picture, edit)
            faithful = verdict.changed and verdict.kept == 1
        outside: float | None = None
        region = verdict.region
        if region is not None and reference.size == picture.size and not region.all():
            outside = float(pixel_distances(reference, picture)[~region].mean())
        return Score(
            {
                "faithful": float(faithful),
                "changed": float(verdict.changed),
                "kept": verdict.kept,
                "outside_delta_e": outside,
            },
            {"why": list(verdict.why)},
        )
