"""Does a picture show what its prompt asks for? Named checks, each with what was seen and why it fails.

The judge is strict: an object too many is wrong even when all that was asked for is there, and what cannot be told for
certain (a shape between two shapes, objects that cannot be told apart) does not count as right.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evals.scenes.colours import difference
from evals.scenes.letters import line_of, middle_of, row_of, strays_of
from evals.scenes.prompt import Expected, Relation, Thing, parse
from evals.scenes.read import Reader, read_word, same_text
from evals.scenes.segment import Blob, segment
from evals.scenes.shapes import shape_of
from evals.scenes.verdict import Check, CheckName, Look, Verdict, obeys

LONGEST_SIDE = 256  # pixels; larger pictures are reduced to this for shapes, which loses nothing that is judged
SMALL, LARGE = 0.36, 0.50  # a "small" object's box is no longer than this share of the side, a "large" one's no shorter
PLACE = 0.10  # share of a side by which an object's middle may miss its place
EXTENT = (0.72, 1.38)  # an object's extent as a share of the one asked for
APART = 0.08  # share of the side by which objects must be apart in the direction that is asked for
MOST_OBJECTS = 6  # objects tried for the best match; whatever is beyond is too many anyway


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
    text = read_word(reader, line_of(letters)) if reader and expected.words else None
    checks: dict[CheckName, Check] = {
        "background": _same(expected.background, seen.background.name, "the background"),
        "count": _count(expected, looks, strays_of(letters)),
        "shape": _attributes(expected, matched, "shape"),
        "colour": _colour(expected, matched, letters),
        "size": _size(expected, matched),
        "relation": _relation(expected, looks, matched, letters),
        "place": _place(expected, matched, line_of(letters)),
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
        places.append(
            middle_of(row_of(letters)) if thing.text else look.centre if look and look.likeness(thing) else None
        )
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
        middle = middle_of(line)
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


def _word(expected: Expected, text: str | None) -> Check:
    if not expected.words:
        return Check(None, "")
    if text is None:
        return Check(None, "", "no reader was given")
    wanted = expected.words[0].text
    ok = same_text(wanted, text)
    return Check(ok, text, "" if ok else f'it reads "{text}", not "{wanted}"')
