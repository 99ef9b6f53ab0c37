"""What a prompt asks for, read by a small parser of its own; a sentence that it does not understand is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from evals.scenes.colours import NAMES
from workbench.errors import WorkbenchError

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond")
Relation = Literal["left", "right", "above", "below", "and"]
Size = Literal["", "small", "large"]
Kind = Literal["single", "relation", "count", "word", "word+shape"]

_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_RELATIONS: dict[str, Relation] = {
    "to the left of": "left", "to the right of": "right", "above": "above", "below": "below", "and": "and"
}  # fmt: skip
_COLOUR = "|".join((*NAMES, "grey"))
_SHAPE = "|".join(SHAPES)
_BACKGROUND = re.compile(rf"^(?P<what>.+?)(?: on an? |, )(?P<colour>{_COLOUR}) background$")
_ONE = re.compile(rf"^an? (?:(?P<size>small|large) )?(?P<colour>{_COLOUR}) (?P<shape>{_SHAPE})$")
_MANY = re.compile(rf"^(?P<number>{'|'.join(_NUMBERS)}) (?P<colour>{_COLOUR}) (?P<shape>{_SHAPE})(?P<plural>e?s)?$")
_WORD = re.compile(rf'^the word "(?P<text>[^"]+)" in (?P<colour>{_COLOUR})$')
_JOINT = re.compile(rf"^(?P<first>.+?) (?P<relation>{'|'.join(_RELATIONS)}) (?P<second>.+)$")


class PromptError(WorkbenchError):
    """A prompt that the judge cannot turn into expectations."""

    code = "WB401"


@dataclass(frozen=True, slots=True)
class Thing:
    """One expected object: a shape, or a word when `text` is set."""

    colour: str
    shape: str = ""
    size: Size = ""
    text: str = ""

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
            return Expected("count" if number > 1 else "single", background, (thing,) * number)
    if single := _thing(what):
        return Expected("word" if single.text else "single", background, (single,))
    if joint := _JOINT.match(what):
        first, second = _thing(joint["first"]), _thing(joint["second"])
        if first and second and not (first.text and second.text):
            kind: Kind = "word+shape" if first.text or second.text else "relation"
            return Expected(kind, background, (first, second), _RELATIONS[joint["relation"]])
    raise _refuse(prompt, f"{what!r} is no object, count, relation or word that the judge knows")


def _thing(phrase: str) -> Thing | None:
    if one := _ONE.match(phrase):
        size: Size = one["size"] or ""  # type: ignore[assignment]  # the pattern allows no other values
        return Thing(_colour(one["colour"]), one["shape"], size)
    if word := _WORD.match(phrase):
        return Thing(_colour(word["colour"]), text=word["text"])
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
