"""Scene grammar: what klein-nano knows, as data and as English.

A `Scene` says what is on the canvas and which sentence asks for it; `sample_scene` draws one from a seeded generator.
Centres are fractions of the width and of the height, radii fractions of the shorter side, so that one scene renders at
any size. Layouts are plain (dice patterns for counts, words on a typewriter's grid, a little seeded jitter): a model of
five million weights shall learn what a prompt says, not guess where a designer might have put things.

Held-out prompts are chosen by the hash of their text, so that training never sees the words of an evaluation prompt.
`workbench.nano.edits` builds instructions about pictures on top of this.
"""

from __future__ import annotations

import hashlib
import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 38, 38),
    "green": (22, 150, 60),
    "blue": (37, 80, 220),
    "yellow": (250, 210, 30),
    "orange": (245, 130, 20),
    "purple": (125, 50, 170),
    "pink": (250, 130, 190),
    "cyan": (40, 200, 215),
    "brown": (120, 70, 30),
    "black": (15, 15, 15),
    "white": (250, 250, 250),
    "gray": (128, 128, 128),
}
"""Colour names and their sRGB values, 0 to 255."""

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond")
BACKGROUNDS = ("white", "black", "gray", "yellow", "blue", "green", "pink", "cyan")
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
RELATIONS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
PLACES = {"middle": "", "top": " at the top", "bottom": " at the bottom"}
WORDS = (
    "CAT DOG SUN FLUX HELLO TREE MOON STAR FISH BIRD OPEN STOP GO YES NO ART LAB NANO KLEIN CODE DATA MAP BOX RED "
    "BLUE GREEN HOME LOVE LIFE TIME PLAY WORD GRID SEED STEP LORA TEST NEW OLD HOT COLD UP DOWN SALE CAFE ZOO KEY "
    "JAZZ QUIZ WAVE VIEW EXIT TAXI PIZZA ROBOT HAPPY WORLD MAGIC PAPER WATER MUSIC LIGHT GARDEN SILVER ORANGE"
).split()
PATTERNS: dict[int, tuple[float, tuple[tuple[float, float], ...]]] = {
    1: (0.22, ((0.5, 0.5),)),
    2: (0.15, ((0.28, 0.5), (0.72, 0.5))),
    3: (0.14, ((0.5, 0.27), (0.27, 0.70), (0.73, 0.70))),
    4: (0.13, ((0.28, 0.28), (0.72, 0.28), (0.28, 0.72), (0.72, 0.72))),
    5: (0.115, ((0.23, 0.23), (0.77, 0.23), (0.5, 0.5), (0.23, 0.77), (0.77, 0.77))),
}
"""For each number of equal objects their radius and centres, as on dice."""

SIZES = {"": 0.22, "small": 0.12, "large": 0.36}
"""Radius of a single object by the size word."""

Relation = Literal["left", "right", "above", "below", "and"]
Kind = Literal["single", "hex", "relation", "count", "word", "word+shape"]
KINDS: dict[Kind, int] = {"single": 16, "hex": 14, "relation": 20, "count": 14, "word": 26, "word+shape": 10}
"""Kinds of text-to-picture scenes with their weights in the training mixture."""

HELD_OUT_MODULUS = 40  # one prompt text in forty is kept out of training


@dataclass(frozen=True, slots=True)
class Item:
    """One drawn thing: a shape, or a word when `text` is set.

    `x` and `y` are the centre as fractions of the width and the height, `radius` the half extent as a fraction of the
    shorter side. A word has no size of its own (`radius` 0): its letters stand in the cells of the typewriter grid.
    `colour` is a name of `COLOURS` or six hexadecimal digits after a `#`.
    """

    shape: str
    colour: str
    x: float
    y: float
    radius: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything on one canvas, and the sentence that asks for it."""

    kind: str
    background: str
    items: tuple[Item, ...]
    prompt: str
    relation: Relation | None = None

    @property
    def held_out(self) -> bool:
        """True when this prompt text is reserved for evaluation."""
        return is_held_out(self.prompt)


def is_held_out(prompt: str) -> bool:
    """Whether `prompt` is reserved for evaluation: decided by its SHA-256, so the split needs no list."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT_MODULUS == 0


def rgb(colour: str) -> tuple[int, int, int]:
    """SRGB values, 0 to 255, of a name of `COLOURS` or of a HEX colour such as `#1f77b4`."""
    if colour.startswith("#"):
        red, green, blue = bytes.fromhex(colour[1:])
        return red, green, blue
    return COLOURS[colour]


def sample_scene(rng: Random, *, kind: Kind | None = None, held_out: bool = False) -> Scene:
    """Draw one text-to-picture scene.

    Args:
        rng: source of all randomness; the same state gives the same scene.
        kind: one of `KINDS`, or None for the training mixture.
        held_out: True draws an evaluation scene, False a training scene.
    """
    wanted = kind
    while True:
        scene = _BUILDERS[wanted or rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]](rng)
        if scene.held_out == held_out:
            return scene


def article(noun_phrase: str) -> str:
    """`noun_phrase` after "a" or "an"."""
    return ("an " if noun_phrase[0] in "aeiou" else "a ") + noun_phrase


def on_background(rng: Random, phrase: str, background: str) -> str:
    """`phrase` with one of the two ways to name the background."""
    return (
        f"{phrase} on {article(background)} background" if rng.random() < 0.8 else f"{phrase}, {background} background"
    )


def some_background(rng: Random) -> str:
    """A background's name; a quarter more often white."""
    return "white" if rng.random() < 0.25 else rng.choice(BACKGROUNDS)


def some_colour(rng: Random, *taken: str) -> str:
    """A colour's name that is not among `taken`."""
    return rng.choice([colour for colour in COLOURS if colour not in taken])


def some_ink(rng: Random, background: str) -> str:
    """A colour's name in which letters can be read on `background`: at least 150 of 441 away in sRGB."""
    return rng.choice([colour for colour in COLOURS if math.dist(rgb(colour), rgb(background)) > 150])


def some_word(rng: Random) -> str:
    """A word of one to six letters (upper or lower case, or capitalised) or a number of as many digits."""
    if rng.random() < 0.3:
        text = rng.choice(WORDS)
    else:
        length = rng.choices((1, 2, 3, 4, 5, 6), weights=(10, 15, 25, 25, 14, 11))[0]
        alphabet = string.digits if rng.random() < 0.12 else string.ascii_uppercase
        text = "".join(rng.choice(alphabet) for _ in range(length))
    return rng.choices((text, text.lower(), text.capitalize()), weights=(6, 3, 1))[0]


def jitter(rng: Random, *centre: float, by: float) -> tuple[float, ...]:
    """`centre` moved by at most `by` along each axis."""
    return tuple(value + rng.uniform(-by, by) for value in centre)


def placed(rng: Random, place: Relation, first: tuple[str, str], second: tuple[str, str]) -> tuple[Item, Item]:
    """Two shapes, each (colour, shape), with the first at `place` as seen from the second."""
    near, far = (0.26, 0.74) if place in ("left", "above", "and") else (0.74, 0.26)
    across = rng.uniform(0.44, 0.56)
    items = []
    for along, (colour, shape) in ((near, first), (far, second)):
        x, y = (along, across) if place in ("left", "right", "and") else (across, along)
        x, y = jitter(rng, x, y, by=0.02)
        items.append(Item(shape, colour, x, y, rng.uniform(0.165, 0.185)))
    return items[0], items[1]


def word_item(text: str, colour: str, place: str = "middle") -> Item:
    """`text` at the top, in the middle or at the bottom; the renderer snaps it to the typewriter grid."""
    return Item("word", colour, 0.5, {"top": 0.25, "middle": 0.5, "bottom": 0.75}[place], 0.0, text)


def single_item(rng: Random, colour: str, shape: str, size: str = "") -> Item:
    """One shape near the middle."""
    x, y = jitter(rng, 0.5, 0.5, by=0.06)
    return Item(shape, colour, x, y, SIZES[size] * rng.uniform(0.95, 1.05))


def plural(shape: str) -> str:
    """Name of several equal shapes."""
    return "crosses" if shape == "cross" else f"{shape}s"


def far_from(rng: Random, background: str) -> str:
    """A HEX colour that stands out from `background`: at least 100 of 441 away in sRGB."""
    while True:
        values = tuple(rng.randrange(256) for _ in range(3))
        if math.dist(values, rgb(background)) > 100:
            return "#{:02x}{:02x}{:02x}".format(*values)


def _single(rng: Random) -> Scene:
    background = some_background(rng)
    colour, shape = some_colour(rng, background), rng.choice(SHAPES)
    size = rng.choice(("", "", "small", "large"))
    phrase = article(f"{size} {colour} {shape}".strip())
    item = single_item(rng, colour, shape, size)
    return Scene("single", background, (item,), on_background(rng, phrase, background))


def _hex(rng: Random) -> Scene:
    background, shape = some_background(rng), rng.choice(SHAPES)
    colour = far_from(rng, background)
    item = single_item(rng, colour, shape)
    return Scene("hex", background, (item,), on_background(rng, f"a {colour} {shape}", background))


def _relation(rng: Random) -> Scene:
    background = some_background(rng)
    first = some_colour(rng, background)
    second = some_colour(rng, background) if rng.random() < 0.2 else some_colour(rng, background, first)
    shapes = rng.choice(SHAPES), rng.choice(SHAPES)
    relation: Relation = rng.choice(("left", "right", "above", "below", "and"))
    items = placed(rng, relation, (first, shapes[0]), (second, shapes[1]))
    joint = "and" if relation == "and" else RELATIONS[relation]
    phrase = f"{article(f'{first} {shapes[0]}')} {joint} {article(f'{second} {shapes[1]}')}"
    return Scene("relation", background, items, on_background(rng, phrase, background), relation)


def count_items(rng: Random, colour: str, shape: str, count: int) -> tuple[Item, ...]:
    """`count` equal shapes in their pattern, which moves as a whole."""
    radius, centres = PATTERNS[count]
    dx, dy = jitter(rng, 0.0, 0.0, by=0.03)
    return tuple(Item(shape, colour, x + dx, y + dy, radius) for x, y in centres)


def _count(rng: Random) -> Scene:
    background = some_background(rng)
    colour, shape, count = some_colour(rng, background), rng.choice(SHAPES), rng.choice(tuple(NUMBERS))
    items = count_items(rng, colour, shape, count)
    phrase = f"{NUMBERS[count]} {colour} {shape if count == 1 else plural(shape)}"
    return Scene("count", background, items, on_background(rng, phrase, background))


def _word(rng: Random) -> Scene:
    background = some_background(rng)
    colour, text = some_ink(rng, background), some_word(rng)
    place = rng.choice(("middle", "middle", "top", "bottom"))
    phrase = f'the word "{text}" in {colour}{PLACES[place]}'
    return Scene("word", background, (word_item(text, colour, place),), on_background(rng, phrase, background))


def _word_and_shape(rng: Random) -> Scene:
    background = some_background(rng)
    colour, text = some_ink(rng, background), some_word(rng)
    shape_colour, shape = some_colour(rng, background), rng.choice(SHAPES)
    relation: Relation = rng.choice(("above", "below"))
    items = shape_and_word(rng, (shape_colour, shape), (colour, text), relation)
    phrase = f'{article(f"{shape_colour} {shape}")} {relation} the word "{text}" in {colour}'
    return Scene("word+shape", background, items, on_background(rng, phrase, background), relation)


def shape_and_word(rng: Random, shape: tuple[str, str], word: tuple[str, str], relation: Relation) -> tuple[Item, Item]:
    """A shape, given as (colour, shape), and a word, given as (colour, text), with the shape "above" or "below" it."""
    x, y = jitter(rng, 0.5, 0.29 if relation == "above" else 0.71, by=0.02)
    place = "bottom" if relation == "above" else "top"
    return Item(shape[1], shape[0], x, y, rng.uniform(0.165, 0.185)), word_item(word[1], word[0], place)


_BUILDERS: dict[Kind, Callable[[Random], Scene]] = {
    "single": _single,
    "hex": _hex,
    "relation": _relation,
    "count": _count,
    "word": _word,
    "word+shape": _word_and_shape,
}
