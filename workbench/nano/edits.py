"""Instructions about pictures: edits of one reference, and compositions of two to four.

An `Edit` is a sentence, the scenes of its reference pictures, and the scene that obeys it. Whatever the sentence does
not name stays exactly as it is in the first reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from workbench.nano.scenes import (
    RELATIONS,
    SHAPES,
    SIZES,
    Item,
    Scene,
    article,
    far_from,
    is_held_out,
    placed,
    rgb,
    shape_and_word,
    single_item,
    some_background,
    some_colour,
    some_ink,
    some_word,
)

SIDES = {"left": (0.27, None), "right": (0.73, None), "top": (None, 0.27), "bottom": (None, 0.73)}


@dataclass(frozen=True, slots=True)
class Edit:
    """One instruction with what it starts from and what it asks for.

    Attributes:
        kind: the skill, one of `EDITS` or `COMPOSITIONS`.
        prompt: the instruction.
        references: scenes of the reference pictures, in order.
        target: what the picture shows afterwards; its `prompt` describes it in full.
    """

    kind: str
    prompt: str
    references: tuple[Scene, ...]
    target: Scene

    @property
    def held_out(self) -> bool:
        """True when this instruction together with these references is reserved for evaluation."""
        return is_held_out("\n".join((self.prompt, *(scene.prompt for scene in self.references))))


def sample_edit(rng: Random, *, kind: str | None = None, references: int = 1, held_out: bool = False) -> Edit:
    """Draw one instruction.

    Args:
        rng: source of all randomness.
        kind: one of `EDITS` or `COMPOSITIONS`, or None for any that takes so many references.
        references: 1 for edits, 2 to 4 for compositions; ignored when `kind` is given.
        held_out: True draws one for evaluation, False one for training.
    """
    kinds = [kind] if kind else [name for name, (count, _) in BUILDERS.items() if count == references]
    while True:
        chosen = rng.choice(kinds)
        edit = BUILDERS[chosen][1](rng)
        if edit.held_out == held_out:
            return edit


def describe(background: str, *items: Item) -> Scene:
    """The scene of some shapes with a plain description of each."""
    names = " and ".join(
        f'the word "{item.text}" in {item.colour}' if item.text else article(f"{item.colour} {item.shape}")
        for item in items
    )
    return Scene("edit", background, items, f"{names or 'nothing'} on {article(background)} background")


def _one(rng: Random) -> Scene:
    background = some_background(rng)
    return describe(background, single_item(rng, some_colour(rng, background), rng.choice(SHAPES)))


def _two(rng: Random) -> Scene:
    """Two different shapes, so that "the star" means one of them, in different colours."""
    background = some_background(rng)
    first, second = rng.sample(SHAPES, 2)
    colour = some_colour(rng, background)
    place = rng.choice(("left", "above"))
    pair = placed(rng, place, (colour, first), (some_colour(rng, background, colour), second))  # type: ignore[arg-type]
    return describe(background, *pair)


def _one_or_two(rng: Random) -> tuple[Scene, int]:
    """A scene and the place of the item that the instruction is about."""
    scene = _one(rng) if rng.random() < 0.5 else _two(rng)
    return scene, rng.randrange(len(scene.items))


def _with(scene: Scene, index: int, **changes: object) -> Scene:
    items = list(scene.items)
    items[index] = replace(items[index], **changes)  # type: ignore[arg-type]
    return describe(scene.background, *items)


def _recolour(rng: Random) -> Edit:
    scene, index = _one_or_two(rng)
    item = scene.items[index]
    colour = far_from(rng, scene.background) if rng.random() < 0.15 else some_colour(rng, scene.background, item.colour)
    return Edit("recolour", f"make the {item.shape} {colour}", (scene,), _with(scene, index, colour=colour))


def _remove(rng: Random) -> Edit:
    scene, index = _two(rng), rng.randrange(2)
    target = describe(scene.background, scene.items[1 - index])
    return Edit("remove", f"remove the {scene.items[index].shape}", (scene,), target)


def _move(rng: Random) -> Edit:
    scene = _one(rng)
    side = rng.choice(tuple(SIDES))
    item = scene.items[0]
    x, y = SIDES[side]
    target = _with(scene, 0, x=x if x is not None else item.x, y=y if y is not None else item.y)
    return Edit("move", f"move the {item.shape} to the {side}", (scene,), target)


def _add(rng: Random) -> Edit:
    """The reference is one half of a pair, so that there is room for the other."""
    pair = _two(rng)
    index = rng.randrange(2)
    added, kept = pair.items[index], pair.items[1 - index]
    place = ("left", "right") if abs(added.x - kept.x) > abs(added.y - kept.y) else ("above", "below")
    first = (added.x, added.y) < (kept.x, kept.y) if place[0] == "left" else added.y < kept.y
    relation = RELATIONS[place[0] if first else place[1]]
    prompt = f"add {article(f'{added.colour} {added.shape}')} {relation} the {kept.shape}"
    return Edit("add", prompt, (describe(pair.background, kept),), describe(pair.background, *pair.items))


def _replace(rng: Random) -> Edit:
    scene, index = _one_or_two(rng)
    taken = {item.shape for item in scene.items}
    shape = rng.choice([name for name in SHAPES if name not in taken])
    prompt = f"replace the {scene.items[index].shape} with {article(shape)}"
    return Edit("replace", prompt, (scene,), _with(scene, index, shape=shape))


def _background(rng: Random) -> Edit:
    scene, _ = _one_or_two(rng)
    while (background := some_background(rng)) in (scene.background, *(item.colour for item in scene.items)):
        pass
    return Edit("background", f"make the background {background}", (scene,), describe(background, *scene.items))


def _resize(rng: Random) -> Edit:
    scene = _one(rng)
    item = scene.items[0]
    word, size = rng.choice((("larger", "large"), ("smaller", "small")))
    return Edit("resize", f"make the {item.shape} {word}", (scene,), _with(scene, 0, radius=SIZES[size]))


def _write(rng: Random) -> Edit:
    background = some_background(rng)
    text, place = some_word(rng), rng.choice(("above", "below"))
    named = rng.random() < 0.6
    colour = some_ink(rng, background) if named else default_ink(background)
    drawn = some_colour(rng, background), rng.choice(SHAPES)
    shape, word = shape_and_word(rng, drawn, (colour, text), "below" if place == "above" else "above")
    prompt = f'write "{text}" {place}' + (f" in {colour}" if named else "")
    return Edit("write", prompt, (describe(background, shape),), describe(background, shape, word))


def default_ink(background: str) -> str:
    """Black or white, whichever stands out more: the ink of a word whose colour is not named."""
    return max(
        ("black", "white"), key=lambda ink: sum(abs(a - b) for a, b in zip(rgb(ink), rgb(background), strict=True))
    )


def _shape_in_colour(rng: Random) -> Edit:
    first, second = _one(rng), _one(rng)
    colour = second.items[0].colour
    background = _ground(rng, colour)
    prompt = f"the shape of image 1 in the colour of image 2 on {article(background)} background"
    item = replace(first.items[0], colour=colour)
    return Edit("compose-colour", prompt, (first, second), describe(background, item))


def _side_by_side(rng: Random) -> Edit:
    first, second = _one(rng), _one(rng)
    one, two = first.items[0], second.items[0]
    relation = rng.choice(("left", "right", "above", "below"))
    background = _ground(rng, one.colour, two.colour)
    prompt = f"image 1 {RELATIONS[relation]} image 2 on {article(background)} background"
    items = placed(rng, relation, (one.colour, one.shape), (two.colour, two.shape))  # type: ignore[arg-type]
    return Edit("compose-pair", prompt, (first, second), describe(background, *items))


def _on_background(rng: Random) -> Edit:
    while (first := _one(rng)).items[0].colour == (second := _one(rng)).background:
        pass
    prompt = "the shape of image 1 on the background of image 2"
    return Edit("compose-background", prompt, (first, second), describe(second.background, first.items[0]))


def _three(rng: Random) -> Edit:
    first, second = _one(rng), _one(rng)
    while (third := _one(rng)).background == second.items[0].colour:
        pass
    prompt = "the shape of image 1 in the colour of image 2 on the background of image 3"
    item = replace(first.items[0], colour=second.items[0].colour)
    return Edit("compose-3", prompt, (first, second, third), describe(third.background, item))


def _four(rng: Random) -> Edit:
    three = _three(rng)
    size = rng.choice(tuple(SIZES))
    background = some_background(rng)
    fourth = describe(background, single_item(rng, some_colour(rng, background), rng.choice(SHAPES), size))
    item = replace(three.target.items[0], radius=SIZES[size])
    target = describe(three.target.background, item)
    return Edit("compose-4", f"{three.prompt} with the size of image 4", (*three.references, fourth), target)


def _ground(rng: Random, *colours: str) -> str:
    """A background's name that none of `colours` vanishes on."""
    while (background := some_background(rng)) in colours:
        pass
    return background


BUILDERS: dict[str, tuple[int, Callable[[Random], Edit]]] = {
    "recolour": (1, _recolour),
    "remove": (1, _remove),
    "move": (1, _move),
    "add": (1, _add),
    "replace": (1, _replace),
    "background": (1, _background),
    "resize": (1, _resize),
    "write": (1, _write),
    "compose-colour": (2, _shape_in_colour),
    "compose-pair": (2, _side_by_side),
    "compose-background": (2, _on_background),
    "compose-3": (3, _three),
    "compose-4": (4, _four),
}
"""Every kind of instruction with its number of references."""

EDITS = tuple(name for name, (count, _) in BUILDERS.items() if count == 1)
COMPOSITIONS = tuple(name for name, (count, _) in BUILDERS.items() if count > 1)
