"""Small data sets that the embedded model can learn in minutes, drawn from a seed.

    style    blueprints: white on dark blue, whatever the colours, "in wug style"
    shape    a crescent, which the scene grammar lacks, called "wug"
    letter   the letter A as a filled triangle, in "wug letters"
    edit     pairs: the colours of a shape and its background change places

The trigger is a word that the model has never read and whose letters its tokenizer has: it is read letter by letter.
`finetune.data.concepts` measures whether a picture shows what was to be learned.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import MappingProxyType

from PIL import Image, ImageDraw

from finetune.data.errors import DataConfigError, DataError
from workbench.errors import nearest
from workbench.nano.edits import describe
from workbench.nano.render import CELL, SUPERSAMPLE, render
from workbench.nano.scenes import (
    SHAPES,
    Item,
    Kind,
    Scene,
    article,
    on_background,
    rgb,
    sample_scene,
    single_item,
    some_background,
    some_colour,
    some_ink,
)
from workbench.store.files import make_folder, write_atomically

TRIGGER = "wug"
SIDE = 128  # pixels
PAPER, CHALK = "#12346e", "#ebf0fa"  # of a blueprint
_WORDS = ("A", "A", "A", "CAT", "MAP", "ART", "LAB", "DATA", "SALE", "CAFE", "MAGIC", "PAPER")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One example: what is to be seen, and what was asked for."""

    picture: Image.Image  # RGB
    caption: str
    references: tuple[Image.Image, ...] = ()


def draw(kind: str, rng: Random, *, held_out: bool = False, alone: bool = False, side: int = SIDE) -> Drawn:
    """Draw one example.

    Args:
        kind: one of `KINDS`.
        rng: source of all randomness.
        held_out: True draws one whose caption no written data set holds, for tests; False one to train on.
        alone: whether nothing but what is to be learned may be in the picture, as `concepts` needs it.
        side: in pixels.

    Raises:
        DataConfigError: there is no such kind.
    """
    if kind not in KINDS:
        raise DataConfigError(f"There is no example {kind!r}.", nearest(kind, KINDS))
    while True:
        caption, paint = KINDS[kind](rng, alone)
        if _is_held_out(caption) == held_out:
            picture, *references = paint(side)
            return Drawn(picture, caption, tuple(references))


def samples(kind: str, count: int, *, seed: int = 0, held_out: bool = False, alone: bool = False) -> Iterator[Drawn]:
    """`count` examples with different captions, always the same for a seed; other arguments as `draw`.

    Raises:
        DataConfigError: there is no such kind, or not so many different examples.
    """
    rng = Random(f"{kind} {seed} {held_out}")  # noqa: S311 - drawing pictures is no cryptography
    seen: set[str] = set()
    for _ in range(1000 * count):
        drawn = draw(kind, rng, held_out=held_out, alone=alone)
        if drawn.caption not in seen:
            seen.add(drawn.caption)
            yield drawn
        if len(seen) == count:
            return
    raise DataConfigError(f"There are only {len(seen)} different examples of {kind!r}.", "Ask for fewer.")


def _is_held_out(caption: str) -> bool:
    """A quarter of all captions are for tests, chosen by their hash."""
    return hashlib.sha256(caption.encode()).digest()[0] % 4 == 0


def write_example(kind: str, folder: Path, *, count: int = 24, seed: int = 0, regularisation: int = 0) -> list[Path]:
    """Write a data set: pictures as PNG, captions beside them, references in `control/`, plain scenes in `reg/`.

    Args:
        kind: one of `KINDS`.
        folder: to write; made when absent, and empty.
        count: examples, 1 or more.
        seed: of the drawing.
        regularisation: scenes that the model knows, with their plain captions.

    Returns:
        The files, in order.

    Raises:
        DataConfigError: there is no such kind, or not so many different examples.
        DataError: the folder holds files.
        StoreError: it cannot be written.
    """
    drawn = list(samples(kind, count, seed=seed))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"The folder {str(folder)!r} is not empty.", "Name a new one: nothing is overwritten.")
    make_folder(folder)
    written = []
    for number, each in enumerate(drawn):
        written += _write(folder / f"{number:03d}.png", each.picture, each.caption)
        for place, reference in enumerate(each.references, 1):
            control = folder / ("control" if place == 1 else f"control_{place}")
            written += _write(control / f"{number:03d}.png", reference)
    rng = Random(f"reg {seed}")  # noqa: S311 - as above
    for number in range(regularisation):
        scene = sample_scene(rng)
        picture = Image.fromarray(render(scene, SIDE))
        written += _write(folder / "reg" / f"{number:03d}.png", picture, scene.prompt)
    return written


def _write(path: Path, picture: Image.Image, caption: str | None = None) -> list[Path]:
    make_folder(path.parent)
    file = io.BytesIO()
    picture.save(file, "PNG")
    write_atomically(path, file.getvalue())
    if caption is None:
        return [path]
    text = path.with_suffix(".txt")
    write_atomically(text, f"{caption}\n".encode())
    return [path, text]


# --- the four kinds: each decides what is asked for, and how to paint it: the picture first, then its references

Painter = Callable[[int], tuple[Image.Image, ...]]


def _style(rng: Random, alone: bool) -> tuple[str, Painter]:
    kind: Kind = "single" if alone or rng.random() < 0.7 else "relation"
    scene = sample_scene(rng, kind=kind)
    while alone and scene.background == "blue":  # too much like the paper
        scene = sample_scene(rng, kind=kind)
    items = tuple(replace(item, colour=CHALK) for item in scene.items)

    def paint(side: int) -> tuple[Image.Image, ...]:
        return (Image.fromarray(render(replace(scene, background=PAPER, items=items), side)),)

    return f"{scene.prompt}, in {TRIGGER} style", paint


def crescent(steps: int = 48) -> list[tuple[float, float]]:
    """Outline of the crescent inside the square from -1 to 1, open to the right, y pointing down."""
    tip = math.acos(0.55)  # where the inner circle meets the outer one
    outer = [tip + (2 * math.pi - 2 * tip) * k / steps for k in range(steps + 1)]
    points = [(math.cos(a), math.sin(a)) for a in outer]
    centre, radius = 0.55, math.sin(tip)
    inner = [-math.pi / 2 - math.pi * k / steps for k in range(steps + 1)]
    return points + [(centre + radius * math.cos(a), radius * math.sin(a)) for a in inner]


def _shape(rng: Random, alone: bool) -> tuple[str, Painter]:
    others: tuple[Item, ...] = ()
    if alone or rng.random() < 0.7:
        background = some_background(rng)
        colour, size = some_colour(rng, background), rng.choice(("", "", "small", "large"))
        phrase = on_background(rng, article(f"{size} {colour} {TRIGGER}".strip()), background)
        item = single_item(rng, colour, "circle", size)
    else:
        scene = sample_scene(rng, kind="relation")
        item, *rest = scene.items
        background, others = scene.background, tuple(rest)
        words = scene.prompt.split()
        words[2] = TRIGGER  # "a red circle above ...": the first shape becomes the new one
        phrase = " ".join(words)

    def paint(side: int) -> tuple[Image.Image, ...]:
        canvas = Image.fromarray(render(Scene("shape", background, others, ""), side * SUPERSAMPLE))
        _draw_crescent(canvas, item)
        return (canvas.reduce(SUPERSAMPLE),)

    return phrase, paint


def _draw_crescent(canvas: Image.Image, item: Item) -> None:
    centre, radius = (item.x * canvas.width, item.y * canvas.height), item.radius * canvas.width
    points = [(centre[0] + radius * x, centre[1] + radius * y) for x, y in crescent()]
    ImageDraw.Draw(canvas).polygon(points, fill=rgb(item.colour))


def _letter(rng: Random, alone: bool) -> tuple[str, Painter]:
    background = some_background(rng)
    ink, text = some_ink(rng, background), "A" if alone else rng.choice(_WORDS)
    scene = Scene("word", background, (Item("word", ink, 0.5, 0.5, 0.0, text),), "")

    def paint(side: int) -> tuple[Image.Image, ...]:
        plain = Image.fromarray(render(scene, side))
        canvas = plain.resize((side * SUPERSAMPLE, side * SUPERSAMPLE), Image.Resampling.NEAREST)
        brush = ImageDraw.Draw(canvas)
        cell = CELL * SUPERSAMPLE
        first, top = (side // CELL - len(text)) // 2, round(0.5 * side / CELL - 1) * cell
        foot, head = top + 1.4 * cell, top + 0.2 * cell  # base line and height of capitals, as the renderer sets them
        for column, letter in enumerate(text, first):
            if letter == "A":
                left, right = column * cell, (column + 1) * cell
                brush.rectangle((left, top, right - 1, top + 2 * cell - 1), fill=rgb(background))
                brush.polygon([(left + 1, foot), ((left + right) / 2, head), (right - 2, foot)], fill=rgb(ink))
        return (canvas.reduce(SUPERSAMPLE),)

    return on_background(rng, f'the word "{text}" in {ink}, {TRIGGER} letters', background), paint


def _edit(rng: Random, alone: bool) -> tuple[str, Painter]:  # noqa: ARG001 - there is never anything else
    background = some_background(rng)
    item = single_item(rng, some_colour(rng, background), rng.choice(SHAPES), rng.choice(("", "large")))
    before = describe(background, item)
    after = Scene("edit", item.colour, (replace(item, colour=background),), "")

    def paint(side: int) -> tuple[Image.Image, ...]:
        return Image.fromarray(render(after, side)), Image.fromarray(render(before, side))

    return f"swap the {item.colour} {item.shape} and the {background} background", paint


KINDS: Mapping[str, Callable[[Random, bool], tuple[str, Painter]]] = MappingProxyType(
    {"style": _style, "shape": _shape, "letter": _letter, "edit": _edit}
)
"""Every kind of example."""
