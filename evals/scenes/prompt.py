"""What a prompt asks for, read by a small parser of its own; a sentence that it does not understand is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evals.scenes.colours import NAMES
from workbench.errors import WorkbenchError

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond")
Relation = Literal["left", "right", "above", "below", "and"]
Size = Literal["", "small", "large"]
Kind = Literal["single", "hex", "relation", "count", "word", "word+shape", "scene"]

_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_RELATIONS: dict[str, Relation] = {
    "to the left of": "left", "to the right of": "right", "above": "above", "below": "below", "and": "and"
}  # fmt: skip
_COLOUR = "|".join((*NAMES, "grey", "#[0-9a-f]{6}"))
_SHAPE = "|".join(SHAPES)
_BACKGROUND = re.compile(rf"^(?P<what>.+?)(?: on an? |, )(?P<colour>{_COLOUR}) background$")
_ONE = re.compile(rf"^an? (?:(?P<size>small|large) )?(?P<colour>{_COLOUR}) (?P<shape>{_SHAPE})$")
_MANY = re.compile(rf"^(?P<number>{'|'.join(_NUMBERS)}) (?P<colour>{_COLOUR}) (?P<shape>{_SHAPE})(?P<plural>e?s)?$")
_WORD = re.compile(rf'^the word "(?P<text>[^"]+)" in (?P<colour>{_COLOUR})(?: at the (?P<at>top|bottom))?$')
_JOINT = re.compile(rf"^(?P<first>.+?) (?P<relation>{'|'.join(_RELATIONS)}) (?P<second>.+)$")


class PromptError(WorkbenchError):
    """A prompt that the judge cannot turn into expectations."""

    code = "WB401"


@dataclass(frozen=True, slots=True)
class Thing:
    """One expected object: a shape, or a word when `text` is set.

    `colour` is a name of `colours.NAMES` or a HEX colour; `place` is the centre (fractions of width and height) and
    `radius` the half extent (a fraction of the shorter side), both None where the sentence leaves them open.
    """

    colour: str
    shape: str = ""
    size: Size = ""
    text: str = ""
    place: tuple[float, float] | None = None
    radius: float | None = None
    at: Literal["", "top", "bottom"] = ""

    def __str__(self) -> str:
        return f'{self.colour} "{self.text}"' if self.text else f"{self.colour} {self.shape}"


@dataclass(frozen=True, slots=True)
class Expected:
    """Everything a prompt asks for. `things` lists every object once per expected copy, in the order of the prompt."""

    kind: Kind
    background: str
    things: tuple[Thing, ...]
    relation: Relation | None = None

    @property
    def shapes(self) -> tuple[Thing, ...]:
        """The expected objects that are not words."""
        return tuple(thing for thing in self.things if not thing.text)

    @property
    def words(self) -> tuple[Thing, ...]:
        """The expected words."""
        return tuple(thing for thing in self.things if thing.text)


def parse(prompt: str) -> Expected:
    """Read one prompt.

    Args:
        prompt: for example "a red circle to the left of a blue star on a white background"; colours are the names in
            `colours.NAMES`, shapes those in `SHAPES`. Words keep their case, all else is read without regard to it.

    Raises:
        PromptError: any part of the sentence is not understood.
    """
    sentence = _lower_outside_quotes(" ".join(prompt.split()).rstrip("."))
    scene = _BACKGROUND.match(sentence)
    if not scene:
        raise _refuse(prompt, "it names no background at its end")
    what, background = scene["what"], _colour(scene["colour"])
    if many := _MANY.match(what):
        number = _NUMBERS[many["number"]]
        if (number > 1) == bool(many["plural"]):
            thing = Thing(_colour(many["colour"]), many["shape"])
            return Expected("count", background, (thing,) * number)
    if single := _thing(what):
        kind: Kind = "word" if single.text else "hex" if single.colour.startswith("#") else "single"
        return Expected(kind, background, (single,))
    if joint := _JOINT.match(what):
        first, second = _thing(joint["first"]), _thing(joint["second"])
        if first and second and not (first.text and second.text):
            kind = "word+shape" if first.text or second.text else "relation"
            return Expected(kind, background, (first, second), _RELATIONS[joint["relation"]])
    raise _refuse(prompt, f"{what!r} is no object, count, relation or word that the judge knows")


def expected_of(scene: Mapping[str, Any]) -> Expected:
    """What a picture of `scene` shows, every thing at its place: how the result of an edit is told.

    Args:
        scene: `background`, a colour's name, and `items`, each with `shape`, `colour`, `x`, `y`, `radius`, and `text`
            for words (plain JSON, fractions of the sides), as suites keep it under `ask["scene"]`.

    Raises:
        PromptError: a part is missing or unknown.
    """
    try:
        things = tuple(_item(item) for item in scene["items"])
        background = scene["background"]
    except (KeyError, TypeError) as error:
        raise PromptError(f"The scene asked for lacks {error}.", "Give every item a shape, colour, x and y.") from None
    for name in (background, *(thing.colour for thing in things)):
        if not re.fullmatch(_COLOUR, name):
            raise PromptError(f"{name!r} is no colour that the judge knows.", f"Use one of {', '.join(NAMES)}, or HEX.")
    return Expected("scene", background, things)


def _item(item: Mapping[str, Any]) -> Thing:
    place = (float(item["x"]), float(item["y"]))
    if item.get("text"):
        return Thing(item["colour"], text=item["text"], place=place)
    if item["shape"] not in SHAPES:
        raise PromptError(f"{item['shape']!r} is no shape that the judge knows.", f"Use one of {', '.join(SHAPES)}.")
    return Thing(item["colour"], item["shape"], place=place, radius=float(item["radius"]))


def _thing(phrase: str) -> Thing | None:
    if one := _ONE.match(phrase):
        size: Size = one["size"] or ""  # type: ignore[assignment]  # the pattern allows no other values
        return Thing(_colour(one["colour"]), one["shape"], size)
    if word := _WORD.match(phrase):
        at: Literal["", "top", "bottom"] = word["at"] or ""  # type: ignore[assignment]  # as above
        return Thing(_colour(word["colour"]), text=word["text"], at=at)
    return None


def _colour(name: str) -> str:
    return "gray" if name == "grey" else name


def _lower_outside_quotes(sentence: str) -> str:
    parts = sentence.split('"')
    return '"'.join(part if index % 2 else part.lower() for index, part in enumerate(parts))


def _refuse(prompt: str, why: str) -> PromptError:
    return PromptError(
        f"The judge does not understand the prompt {prompt!r}: {why}.",
        'Write, for example, "a red circle to the left of a blue star on a white background".',
    )
