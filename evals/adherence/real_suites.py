"""Makes the suites for real models: six skills of everyday objects, edits of drawn scenes, and HEX colours.

Run `python -m evals.adherence.real_suites` to write `evals/suites/{adherence,edits,colours}-1.json` again; a test holds that
nothing changes. The sentences are this project's own; the classes are those of COCO, so that closed detectors know them.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from itertools import product
from random import Random
from typing import Any

from evals.adherence.nano_suites import ask_of_edit, specs
from evals.shipped import own_suite, ship
from evals.suite import Prompt, Suite
from workbench.nano.edits import EDITS, Edit, sample_edit

SEED = 20261123
EACH = 60  # prompts of each skill of adherence
EDITS_EACH = 10
EDIT_SIDE = 1024  # pixels of a reference

PLURALS = {
    "bus": "buses", "bench": "benches", "knife": "knives", "wine glass": "wine glasses", "sheep": "sheep",
    "couch": "couches", "toothbrush": "toothbrushes", "person": "people", "sandwich": "sandwiches",
}  # fmt: skip

ANIMALS = "bear bird cat cow dog elephant giraffe horse sheep zebra".split()
THINGS = (
    "airplane, apple, backpack, banana, baseball bat, bed, bench, bicycle, boat, book, bottle, bowl, bus, cake, car, carrot, "
    "chair, clock, couch, cup, dining table, donut, fire hydrant, fork, frisbee, handbag, kite, knife, laptop, microwave, "
    "motorcycle, oven, parking meter, pizza, potted plant, refrigerator, sandwich, sink, skateboard, spoon, stop sign, "
    "suitcase, surfboard, teddy bear, tennis racket, tie, toaster, toilet, toothbrush, traffic light, train, truck, tv, "
    "umbrella, vase, wine glass, computer keyboard, computer mouse, cell phone"
).split(", ")
COUNTABLE = (
    "apple, banana, bicycle, bird, boat, book, bottle, bowl, bus, cake, car, carrot, cat, chair, clock, cow, cup, dog, donut, "
    "elephant, fork, handbag, horse, kite, knife, pizza, sandwich, sheep, spoon, suitcase, teddy bear, truck, umbrella, vase, "
    "wine glass, zebra"
).split(", ")
PAINTABLE = (
    "apple, backpack, bench, bicycle, bird, boat, book, bottle, bowl, bus, cake, car, cat, chair, clock, couch, cow, cup, dog, "
    "fire hydrant, frisbee, handbag, horse, kite, motorcycle, refrigerator, skateboard, suitcase, surfboard, teddy bear, tie, "
    "toothbrush, train, truck, umbrella, vase, cell phone, computer mouse, laptop, parking meter"
).split(", ")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
SETTINGS = ("", " outdoors in daylight", " in a bright studio", " seen from the front", " in front of a plain wall")
PLACES = {
    "left of": "to the left of", "right of": "to the right of", "above": "above", "below": "below"
}  # fmt: skip


def make_adherence() -> Suite:
    """Six skills, as many prompts each."""
    rng = Random(SEED)  # noqa: S311  # a draw of prompts is no cryptography
    prompts = [
        *_rows("single_object", _singles(rng)),
        *_rows("two_object", _pairs(rng)),
        *_rows("counting", _counts(rng)),
        *_rows("colors", _colours(rng)),
        *_rows("position", _positions(rng)),
        *_rows("color_attr", _attributes(rng)),
    ]
    return _suite(
        "adherence-1", "GenEval's six skills in sentences of our own, for real models", prompts, "geneval-mask2former"
    )


def make_edits() -> Suite:
    """Edits of drawn scenes in plain English, at 1024 pixels."""
    rng = Random(SEED + 1)  # noqa: S311
    prompts = []
    for kind in EDITS:
        for number in range(1, EDITS_EACH + 1):
            edit = sample_edit(rng, kind=kind, held_out=True)
            prompts.append(
                Prompt(
                    id=f"{kind}-{number:03}", kind=kind, prompt=_sentence(edit), ask=ask_of_edit(edit),
                    references=specs(edit, width=EDIT_SIDE), width=EDIT_SIDE, height=EDIT_SIDE,
                )
            )  # fmt: skip
    about = "edits of drawn scenes whose outcome can be measured, for real models"
    return _suite("edits-1", about, prompts, "edits", "typography")


def make_colours() -> Suite:
    """HEX colours on a background, on a flat shape and on a thing."""
    rng = Random(SEED + 2)  # noqa: S311
    forms: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("background", "A plain, evenly lit background in the single flat color {}, nothing else", {"colour_of": "background"}),
        ("shape", "A flat vector drawing of one circle filled with the color {} on a {} background",
         {"objects": [{"class": "circle"}], "colour_of": "object"}),
        ("thing", "A product photo of a matte {thing} in the color {} on a light gray table", {"colour_of": "anywhere"}),
    )  # fmt: skip
    prompts = []
    for number, code in enumerate(_palette(rng), 1):
        dark = sum(bytes.fromhex(code[1:])) < 3 * 128
        for kind, form, ask in forms:
            sentence = form.replace("{}", code, 1).replace("{}", "white" if dark else "black")
            sentence = sentence.replace(
                "{thing}", rng.choice(("coffee mug", "backpack", "armchair", "desk lamp", "bicycle"))
            )
            # The three sentences about one colour are no independent draws.
            prompts.append(
                Prompt(
                    id=f"{kind}-{number:03}", kind=kind, prompt=sentence, ask=ask | {"colour": code}, cluster=code
                )
            )  # fmt: skip
    about = "HEX colours on a background, a flat shape and a thing, for real models"
    return _suite("colours-1", about, prompts, "hex-colour")


def _singles(rng: Random) -> Iterable[tuple[str, dict[str, Any]]]:
    for name in rng.sample([*ANIMALS, *THINGS], EACH):
        yield f"a photo of {_a(name)}{rng.choice(SETTINGS)}", {"objects": [{"class": name}]}


def _pairs(rng: Random) -> Iterable[tuple[str, dict[str, Any]]]:
    for first, second in _couples(rng):
        joint = rng.choice(("and", "next to", "together with"))
        sentence = f"a photo of {_a(first)} {joint} {_a(second)}{rng.choice(SETTINGS)}"
        yield sentence, {"objects": [{"class": first}, {"class": second}]}


def _counts(rng: Random) -> Iterable[tuple[str, dict[str, Any]]]:
    for name, number in rng.sample(list(product(COUNTABLE, NUMBERS)), EACH):
        plural = PLURALS.get(name, f"{name}s")
        sentence = f"a photo of {NUMBERS[number]} {plural}{rng.choice(SETTINGS)}"
        yield sentence, {"objects": [{"class": name, "count": number, "exact_count": True}]}


def _colours(rng: Random) -> Iterable[tuple[str, dict[str, Any]]]:
    for name, colour in rng.sample(list(product(PAINTABLE, COLOURS)), EACH):
        sentence = f"a photo of {_a(f'{colour} {name}')}{rng.choice(SETTINGS)}"
        yield sentence, {"objects": [{"class": name, "colour": colour}]}


def _positions(rng: Random) -> Iterable[tuple[str, dict[str, Any]]]:
    for number, (first, second) in enumerate(_couples(rng)):
        relation = tuple(PLACES)[number % len(PLACES)]
        ask = {
            "objects": [{"class": first}, {"class": second}],
            "relations": [{"first": 0, "relation": relation, "second": 1}],
        }
        yield f"a photo of {_a(first)} {PLACES[relation]} {_a(second)}", ask


def _attributes(rng: Random) -> Iterable[tuple[str, dict[str, Any]]]:
    for _ in range(EACH):
        names, colours = rng.sample(PAINTABLE, 2), rng.sample(COLOURS, 2)
        one, two = (_a(f"{colour} {name}") for colour, name in zip(colours, names, strict=True))
        objects = [{"class": name, "colour": colour} for colour, name in zip(colours, names, strict=True)]
        yield f"a photo of {one} and {two}{rng.choice(SETTINGS)}", {"objects": objects}


def _couples(rng: Random) -> list[tuple[str, str]]:
    """Pairs of different classes, no pair twice."""
    found: dict[frozenset[str], tuple[str, str]] = {}
    while len(found) < EACH:
        first, second = rng.sample([*ANIMALS, *THINGS], 2)
        found.setdefault(frozenset((first, second)), (first, second))
    return list(found.values())


def _palette(rng: Random) -> list[str]:
    """32 HEX colours: hues all around the circle in two depths, and grays."""
    codes = []
    for step in range(14):
        for lightness in (0.35, 0.62):
            hue = (step + rng.uniform(-0.3, 0.3)) / 14
            values = colorsys.hls_to_rgb(hue % 1, lightness + rng.uniform(-0.06, 0.06), rng.uniform(0.35, 0.95))
            codes.append("#{:02x}{:02x}{:02x}".format(*(round(255 * value) for value in values)))
    return codes + [f"#{level:02x}{level:02x}{level:02x}" for level in (0x2B, 0x5C, 0x9A, 0xD4)]


def _sentence(edit: Edit) -> str:
    """The instruction as one would write it to a large model."""
    prompt = edit.prompt
    if edit.kind == "write":
        item = edit.target.items[-1]
        where = "above" if " above" in prompt else "below"
        shape = edit.target.items[0].shape
        prompt = f'write the text "{item.text}" in {item.colour} {where} the {shape}'
    elif edit.kind == "move":
        prompt = f"{prompt} of the picture".replace("to the top of", "to the top edge of").replace(
            "to the bottom of", "to the bottom edge of"
        )
    return f"{prompt[0].upper()}{prompt[1:]}. Keep everything else exactly as it is."


def _a(noun: str) -> str:
    """`noun` after "a" or "an"."""
    return ("an " if noun[0] in "aeio" or noun.startswith("umbrella") else "a ") + noun


def _rows(kind: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> list[Prompt]:
    return [
        Prompt(id=f"{kind}-{number:03}", kind=kind, prompt=sentence, ask=ask)
        for number, (sentence, ask) in enumerate(rows, 1)
    ]


def _suite(name: str, about: str, prompts: list[Prompt], *scorers: str) -> Suite:
    return own_suite(name, f"{about[0].upper()}{about[1:]}; seed {SEED}.", prompts, *scorers)


if __name__ == "__main__":
    ship(make_adherence(), make_edits(), make_colours())
