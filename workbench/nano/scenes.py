"""Scene grammar: what `klein-nano` knows, as data and as English.

A `Scene` says what is on the canvas; `sample_scene` draws one from a seeded generator; `Scene.prompt` says it in
words. Coordinates and sizes are fractions of the side, so that one scene renders at any resolution.
Held-out prompts are chosen by the hash of their text, so that training never sees the words of an evaluation prompt.
"""

from __future__ import annotations

import hashlib
import math
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
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
RELATIONS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
WORDS = (
    "CAT DOG SUN FLUX HELLO TREE MOON STAR FISH BIRD OPEN STOP GO YES NO ART LAB NANO KLEIN CODE DATA MAP BOX RED "
    "BLUE GREEN HOME LOVE LIFE TIME PLAY WORD GRID SEED STEP LORA TEST NEW OLD HOT COLD UP DOWN SALE CAFE ZOO KEY "
    "JAZZ QUIZ WAVE VIEW EXIT TAXI PIZZA ROBOT HAPPY WORLD MAGIC PAPER WATER MUSIC LIGHT GARDEN SILVER ORANGE"
).split()

Relation = Literal["left", "right", "above", "below", "and"]
Kind = Literal["single", "relation", "count", "word", "word+shape"]
HELD_OUT_MODULUS = 40  # one prompt text in forty is kept out of training


@dataclass(frozen=True, slots=True)
class Item:
    """One drawn thing: a shape, or a word when `text` is set.

    `x`, `y` are the centre and `radius` the half extent, all as fractions of the side (0 to 1).
    """

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything on one canvas, and the sentence that asks for it."""

    kind: Kind
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


def sample_scene(rng: Random, *, kind: Kind | None = None, held_out: bool = False) -> Scene:
    """Draw one scene.

    Args:
        rng: source of all randomness; the same state gives the same scene.
        kind: one of the five kinds, or None for the training mixture.
        held_out: True draws an evaluation scene, False a training scene.
    """
    wanted = kind
    while True:
        kind = (
            wanted or rng.choices(("single", "relation", "count", "word", "word+shape"), weights=(34, 34, 12, 15, 5))[0]
        )
        scene = _BUILDERS[kind](rng)
        if scene.held_out == held_out:
            return scene


def _article(noun_phrase: str) -> str:
    return ("an " if noun_phrase[0] in "aeiou" else "a ") + noun_phrase


def _finish(rng: Random, phrase: str, background: str) -> str:
    return (
        f"{phrase} on {_article(background)} background" if rng.random() < 0.8 else f"{phrase}, {background} background"
    )


def _background(rng: Random) -> str:
    return "white" if rng.random() < 0.25 else rng.choice(BACKGROUNDS)


def _colour(rng: Random, *taken: str) -> str:
    return rng.choice([c for c in COLOURS if c not in taken])


def _single(rng: Random) -> Scene:
    background = _background(rng)
    colour, shape = _colour(rng, background), rng.choice(SHAPES)
    size, low, high = rng.choice((("", 0.20, 0.26), ("", 0.20, 0.26), ("small", 0.11, 0.14), ("large", 0.32, 0.38)))
    radius = rng.uniform(low, high)
    margin = radius + 0.03
    item = Item(shape, colour, rng.uniform(margin, 1 - margin), rng.uniform(margin, 1 - margin), radius)
    phrase = _article(f"{size} {colour} {shape}".strip())
    return Scene("single", background, (item,), _finish(rng, phrase, background))


def _relation(rng: Random) -> Scene:
    background = _background(rng)
    first_colour = _colour(rng, background)
    second_colour = _colour(rng, background) if rng.random() < 0.2 else _colour(rng, background, first_colour)
    first_shape, second_shape = rng.choice(SHAPES), rng.choice(SHAPES)
    relation: Relation = rng.choice(("left", "right", "above", "below", "left", "right", "above", "below", "and"))
    place = rng.choice(tuple(RELATIONS)) if relation == "and" else relation
    r1, r2 = rng.uniform(0.14, 0.20), rng.uniform(0.14, 0.20)
    near, far = rng.uniform(0.23, 0.28), rng.uniform(0.72, 0.77)
    across1 = rng.uniform(0.30, 0.70)
    across2 = min(0.75, max(0.25, across1 + rng.uniform(-0.12, 0.12)))
    along1, along2 = (near, far) if place in ("left", "above") else (far, near)
    if place in ("left", "right"):
        items = (
            Item(first_shape, first_colour, along1, across1, r1),
            Item(second_shape, second_colour, along2, across2, r2),
        )
    else:
        items = (
            Item(first_shape, first_colour, across1, along1, r1),
            Item(second_shape, second_colour, across2, along2, r2),
        )
    joint = "and" if relation == "and" else RELATIONS[relation]
    phrase = f"{_article(f'{first_colour} {first_shape}')} {joint} {_article(f'{second_colour} {second_shape}')}"
    return Scene("relation", background, items, _finish(rng, phrase, background), relation)


def _count(rng: Random) -> Scene:
    background = _background(rng)
    colour, shape, count = _colour(rng, background), rng.choice(SHAPES), rng.choice(tuple(NUMBERS))
    while True:
        radius = rng.uniform(0.10, 0.14 if count > 3 else 0.17)
        centres: list[tuple[float, float]] = []
        for _ in range(60):
            x, y = (rng.uniform(radius + 0.03, 1 - radius - 0.03) for _ in range(2))
            if all(math.hypot(x - cx, y - cy) > 2.5 * radius for cx, cy in centres):
                centres.append((x, y))
            if len(centres) == count:
                items = tuple(Item(shape, colour, cx, cy, radius) for cx, cy in centres)
                plural = "crosses" if shape == "cross" else f"{shape}s"
                return Scene(
                    "count", background, items, _finish(rng, f"{NUMBERS[count]} {colour} {plural}", background)
                )


def _spell(rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(WORDS)
    length = rng.choices((1, 2, 3, 4, 5, 6), weights=(15, 20, 25, 20, 12, 8))[0]
    return "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(length))


def _word_item(rng: Random, text: str, colour: str, y: float) -> Item:
    # A cap height of about a quarter of the side, less for long words so that six letters fit.
    radius = min(0.46, 0.105 * len(text) + 0.03) * rng.uniform(0.9, 1.0)
    return Item("word", colour, rng.uniform(radius + 0.02, 1 - radius - 0.02), y, radius, text)


def _word(rng: Random) -> Scene:
    background = _background(rng)
    colour, text = _colour(rng, background), _spell(rng)
    item = _word_item(rng, text, colour, rng.uniform(0.3, 0.7))
    return Scene("word", background, (item,), _finish(rng, f'the word "{text}" in {colour}', background))


def _word_and_shape(rng: Random) -> Scene:
    background = _background(rng)
    colour, text = _colour(rng, background), _spell(rng)
    shape_colour, shape = _colour(rng, background), rng.choice(SHAPES)
    relation: Relation = rng.choice(("above", "below"))
    near, far = rng.uniform(0.25, 0.30), rng.uniform(0.70, 0.76)
    shape_y, word_y = (near, far) if relation == "above" else (far, near)
    items = (
        Item(shape, shape_colour, rng.uniform(0.25, 0.75), shape_y, rng.uniform(0.14, 0.19)),
        _word_item(rng, text, colour, word_y),
    )
    phrase = f'{_article(f"{shape_colour} {shape}")} {relation} the word "{text}" in {colour}'
    return Scene("word+shape", background, items, _finish(rng, phrase, background), relation)


_BUILDERS = {"single": _single, "relation": _relation, "count": _count, "word": _word, "word+shape": _word_and_shape}
