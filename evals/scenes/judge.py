"""Does a picture show what its prompt asks for? Named checks, each with what was seen and why it fails.

The judge is strict: an object too many is wrong even when all that was asked for is there, and what cannot be told for
certain (a shape between two shapes, objects that cannot be told apart) does not count as right.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evals.scenes.colours import Named, difference
from evals.scenes.prompt import Expected, Relation, Thing, parse
from evals.scenes.read import Reader, read_word, same_text
from evals.scenes.segment import LEAST_AREA, Blob, segment
from evals.scenes.shapes import Shaped, shape_of

VERSION = "2"
"""Raised whenever a verdict can change; figures of different versions are not comparable."""

CheckName = Literal["background", "count", "shape", "colour", "size", "relation", "place", "word"]
LONGEST_SIDE = 256  # pixels; larger pictures are reduced to this for shapes, which loses nothing that is judged
SMALL, LARGE = 0.36, 0.50  # a "small" object's box is no longer than this share of the side, a "large" one's no shorter
PLACE = 0.10  # share of a side by which an object's middle may miss its place
EXTENT = (0.72, 1.38)  # an object's extent as a share of the one asked for
HEX = 10.0  # CIEDE2000 within which a HEX colour is obeyed
APART = 0.08  # share of the side by which objects must be apart in the direction that is asked for
DOT = 0.3  # share of the row's height by which a dot may be above it
GRAIN = 0.06  # share of the largest letter below which a part is no part of a letter
MOST_OBJECTS = 6  # objects tried for the best match; whatever is beyond is too many anyway


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check: `ok` is None where the prompt asks for nothing or nothing could judge it."""

    ok: bool | None
    seen: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One object as seen."""

    blob: Blob
    shape: Shaped

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box, fractions of the picture's width and height."""
        left, top, right, bottom = self.blob.box
        return (left + right) / 2, (top + bottom) / 2

    def __str__(self) -> str:
        return f"{self.blob.colour.name} {self.shape.name}"

    def likeness(self, thing: Thing) -> int:
        """How much of `thing` this is: 2 for colour and shape, 1 for one of them."""
        return obeys(self.blob.colour, thing.colour) + (self.shape.name == thing.shape)


def obeys(seen: Named, wanted: str) -> bool:
    """Whether a colour is the one asked for: the same name, or within CIEDE2000 of 10 of a HEX colour."""
    return difference(seen.lab, wanted) < HEX if wanted.startswith("#") else seen.name == wanted


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of one picture, and the matches that confusion matrices are made from."""

    prompt: str
    expected: Expected
    checks: dict[CheckName, Check]
    background: str  # the name seen
    objects: tuple[Look, ...]  # without letters, from largest to smallest
    matches: tuple[tuple[Thing, Look | None], ...] = ()  # every expected shape with what stands for it
    text: str | None = None  # what the reader read
    version: str = field(default=VERSION)

    @property
    def right(self) -> bool | None:
        """True when every check that applies holds, False when one fails, None when one could not be judged."""
        outcomes = [check.ok for name, check in self.checks.items() if name in asked(self.expected)]
        if False in outcomes:
            return False
        return None if None in outcomes else True

    def holds(self, *names: CheckName) -> bool | None:
        """Whether all of the named checks hold; None when none fails and one is not judged."""
        outcomes = [self.checks[name].ok for name in names]
        if False in outcomes:
            return False
        return None if None in outcomes else True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and tables."""
        return {
            "prompt": self.prompt,
            "kind": self.expected.kind,
            "right": self.right,
            "checks": {name: {"ok": c.ok, "seen": c.seen, "why": c.why} for name, c in self.checks.items()},
            "background": self.background,
            "objects": [str(look) for look in self.objects],
            "text": self.text,
            "judge": self.version,
        }


def asked(expected: Expected) -> tuple[CheckName, ...]:
    """The checks that a prompt asks for."""
    names: list[CheckName] = ["background", "colour", "count"]
    if expected.shapes:
        names.append("shape")
    if any(thing.size for thing in expected.things):
        names.append("size")
    if expected.relation:
        names.append("relation")
    if any(thing.place or thing.at for thing in expected.things):
        names.append("place")
    if expected.words:
        names.append("word")
    return tuple(names)


def judge(picture: Image.Image | NDArray[np.uint8], prompt: str | Expected, *, reader: Reader | None = None) -> Verdict:
    """Judge one picture by its pixels alone.

    Args:
        picture: RGB, a Pillow image or uint8 of shape (height, width, 3), 0 to 255.
        prompt: the sentence it was made from, or what `parse` made of it.
        reader: reads words; without one the check "word" stays None.

    Raises:
        PromptError: the judge does not understand the prompt.
    """
    expected = prompt if isinstance(prompt, Expected) else parse(prompt)
    image = (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("RGB")
    small = image.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    seen = segment(np.asarray(small))
    looks = tuple(Look(blob, shape_of(blob.coverage)) for blob in seen.objects)
    matched = _match(expected, looks)
    letters: tuple[Blob, ...] = ()
    if expected.words:
        chosen = [look for look in matched if look]
        letters = (*(look.blob for look in looks if look not in chosen), *seen.specks)
        looks = tuple(chosen)
    text = read_word(reader, _line(letters)) if reader and expected.words else None
    checks: dict[CheckName, Check] = {
        "background": _same(expected.background, seen.background.name, "the background"),
        "count": _count(expected, looks, _strays(letters)),
        "shape": _attributes(expected, matched, "shape"),
        "colour": _colour(expected, matched, letters),
        "size": _size(expected, matched),
        "relation": _relation(expected, looks, matched, letters),
        "place": _place(expected, matched, _line(letters)),
        "word": _word(expected, text),
    }
    shown = prompt if isinstance(prompt, str) else ""
    pairs = tuple(zip(expected.shapes, matched, strict=True))
    return Verdict(shown, expected, checks, seen.background.name, looks, pairs, text)


def _match(expected: Expected, looks: tuple[Look, ...]) -> tuple[Look | None, ...]:
    """For each expected shape the object that stands for it: the matching with the greatest likeness."""
    things = expected.shapes
    if not things:
        return ()
    if len(set(things)) == 1 and len(things) > 1:  # equal things: any order is as good
        best = sorted(looks, key=lambda look: -look.likeness(things[0]))[: len(things)]
        return (*best, *(None,) * (len(things) - len(best)))
    candidates: list[Look | None] = [*looks[:MOST_OBJECTS], *(None,) * len(things)]

    def worth(choice: tuple[Look | None, ...]) -> float:
        # Size decides between equal likenesses: what was asked for is rather the large object than the speck.
        return sum(
            look.likeness(thing) + 0.5 + look.blob.area for thing, look in zip(things, choice, strict=True) if look
        )

    return max(permutations(candidates, len(things)), key=worth)


def _same(wanted: str, seen: str, what: str) -> Check:
    return Check(wanted == seen, seen, "" if wanted == seen else f"{what} is {seen}, not {wanted}")


def _count(expected: Expected, looks: tuple[Look, ...], strays: int) -> Check:
    wanted, got = len(expected.shapes), len(looks) + strays
    return Check(wanted == got, str(got), "" if wanted == got else f"{got} objects, not {wanted}")


def _row(letters: tuple[Blob, ...]) -> tuple[Blob, ...]:
    """The presumed letters that stand in one row: the row of most letters, of two such the one with more ink."""
    big = [blob for blob in letters if blob.area >= LEAST_AREA] or list(letters)
    rows = []
    for one in big:
        middle = (one.box[1] + one.box[3]) / 2
        rows.append(tuple(blob for blob in big if blob.box[1] <= middle <= blob.box[3]))
    return max(rows, key=lambda row: (len(row), sum(blob.area for blob in row)), default=())


def _line(letters: tuple[Blob, ...]) -> tuple[Blob, ...]:
    """The row of the word with the parts beside and between its letters, without grains of noise."""
    row = _row(letters)
    if not row:
        return ()
    top, bottom = min(blob.box[1] for blob in row), max(blob.box[3] for blob in row)
    least = GRAIN * max(blob.area for blob in row)
    top -= DOT * (bottom - top)  # a word such as "xig" has dots above all its letters
    return tuple(blob for blob in letters if blob.box[3] > top and blob.box[1] < bottom and blob.area >= least)


def _strays(letters: tuple[Blob, ...]) -> int:
    """How many of the presumed letters are objects apart from the line of the word."""
    line = _line(letters)
    return sum(blob.area >= LEAST_AREA and blob not in line for blob in letters)


def _attributes(expected: Expected, matched: tuple[Look | None, ...], attribute: Literal["shape", "colour"]) -> Check:
    if not expected.shapes:
        return Check(None, "")
    names, faults = [], []
    for thing, look in zip(expected.shapes, matched, strict=True):
        seen = "missing" if look is None else look.shape.name if attribute == "shape" else _shade(look, thing)
        names.append(seen)
        if seen != getattr(thing, attribute):
            doubt = f" ({look.shape.score:.2f}, or {look.shape.second})" if look and seen == "unknown" else ""
            faults.append(f"the {thing} has the {attribute} {seen}{doubt}")
    return Check(not faults, ", ".join(names), "; ".join(faults))


def _shade(look: Look, thing: Thing) -> str:
    """The colour of an object in the words of the prompt: a HEX colour that is obeyed has the name asked for."""
    named = look.blob.colour
    if not thing.colour.startswith("#"):
        return named.name
    return thing.colour if obeys(named, thing.colour) else f"{difference(named.lab, thing.colour):.0f} away"


def _colour(expected: Expected, matched: tuple[Look | None, ...], letters: tuple[Blob, ...]) -> Check:
    shapes = _attributes(expected, matched, "colour")
    if not expected.words:
        return shapes
    areas: Counter[str] = Counter()
    for blob in letters:
        areas[blob.colour.name] += round(blob.area * 1e6)
    wanted = expected.words[0].colour
    ink = areas.most_common(1)[0][0] if areas else "missing"
    pure = ink == wanted and areas[wanted] >= 0.85 * areas.total()
    fault = "" if pure else f"the word is {', '.join(areas) or 'missing'}, not {wanted}"
    return Check(
        pure and shapes.ok is not False, f"{shapes.seen} {ink}".strip(), "; ".join(filter(None, (shapes.why, fault)))
    )


def _size(expected: Expected, matched: tuple[Look | None, ...]) -> Check:
    faults, seen = [], []
    for thing, look in zip(expected.shapes, matched, strict=True):
        if thing.size:
            extent = look.blob.extent if look else 0.0
            seen.append(f"{extent:.2f} of the side")
            if not (0 < extent <= SMALL if thing.size == "small" else extent >= LARGE):
                faults.append(f"the {thing.size} {thing} spans {extent:.2f} of the side")
    return Check(not faults if seen else None, ", ".join(seen), "; ".join(faults))


def _relation(
    expected: Expected, looks: tuple[Look, ...], matched: tuple[Look | None, ...], letters: tuple[Blob, ...]
) -> Check:
    if not expected.relation:
        return Check(None, "")
    places: list[tuple[float, float] | None] = []
    shapes = iter(matched)
    for thing in expected.things:
        look = None if thing.text else next(shapes)
        places.append(_middle(_row(letters)) if thing.text else look.centre if look and look.likeness(thing) else None)
    first, second = places
    if first is None or second is None:
        absent = expected.things[0 if first is None else 1]
        return Check(False, "one object", f"nothing stands for the {absent}")
    seen = _direction(first, second)
    if expected.relation == "and":
        return Check(True, seen)
    one, two = expected.things
    if one != two and not (one.text or two.text) and len(looks) >= 2:
        a, b = matched
        assert a is not None  # both have a place
        assert b is not None
        if a.likeness(two) + b.likeness(one) >= a.likeness(one) + b.likeness(two):
            return Check(False, seen, f"a {a} and a {b}: which is the {one} cannot be told")
    ok = seen == expected.relation
    return Check(ok, seen, "" if ok else f"the {one} is {seen}, not {expected.relation}")


def _place(expected: Expected, matched: tuple[Look | None, ...], line: tuple[Blob, ...]) -> Check:
    """Whether everything whose place is known stands there, in its size; words need the right height only."""
    faults, seen = [], []
    for thing, look in zip(expected.shapes, matched, strict=True):
        if not (thing.place and thing.radius):
            continue
        if look is None:
            faults.append(f"nothing stands for the {thing}")
            continue
        miss = max(abs(a - b) for a, b in zip(look.centre, thing.place, strict=True))
        scale = look.blob.extent / (2 * thing.radius * (0.85 if thing.shape == "square" else 1.0))
        seen.append(f"{miss:.2f} off, {scale:.2f} times the size")
        if miss > PLACE or not EXTENT[0] <= scale <= EXTENT[1]:
            faults.append(f"the {thing} is {seen[-1]}")
    for thing in expected.words:
        height = thing.place[1] if thing.place else {"": None, "top": 0.25, "bottom": 0.75}[thing.at]
        if height is None:
            continue
        middle = _middle(line)
        seen.append(f"letters at {middle[1]:.2f}" if middle else "no letters")
        if middle is None or abs(middle[1] - height) > 1.5 * PLACE:
            faults.append(f"the word has {seen[-1]}, not at {height:.2f}")
    return Check(not faults if seen or faults else None, "; ".join(seen), "; ".join(faults))


def _direction(first: tuple[float, float], second: tuple[float, float]) -> Relation | Literal["no side"]:
    """Where `first` is as seen from `second`, by the greater distance."""
    dx, dy = first[0] - second[0], first[1] - second[1]
    if max(abs(dx), abs(dy)) < APART:
        return "no side"
    if abs(dx) > abs(dy):
        return "left" if dx < 0 else "right"
    return "above" if dy < 0 else "below"


def _middle(blobs: tuple[Blob, ...]) -> tuple[float, float] | None:
    """Middle of the box around all of `blobs`."""
    if not blobs:
        return None
    left, top = (min(blob.box[side] for blob in blobs) for side in (0, 1))
    right, bottom = (max(blob.box[side] for blob in blobs) for side in (2, 3))
    return (left + right) / 2, (top + bottom) / 2


def _word(expected: Expected, text: str | None) -> Check:
    if not expected.words:
        return Check(None, "")
    if text is None:
        return Check(None, "", "no reader was given")
    wanted = expected.words[0].text
    ok = same_text(wanted, text)
    return Check(ok, text, "" if ok else f'it reads "{text}", not "{wanted}"')
