"""Makes the suites of the embedded model: adherence, edits and HEX colours, drawn with fixed seeds.

Run `python -m evals.adherence.nano_suites` to write `evals/suites/nano-{adherence,edits,colours}-1.json` again; a test holds
that nothing changes. All prompts are held out: training never sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, TypeVar

from evals.shipped import own_suite, ship
from evals.suite import Prompt, Suite
from workbench.nano.edits import COMPOSITIONS, EDITS, Edit, sample_edit
from workbench.nano.scenes import Item, Scene, sample_scene

T = TypeVar("T")
SEED = 20261122
RELATIONS = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
SKILLS = ("single", "counting", "attribution", "position")
EACH = {"adherence": 60, "edits": 30, "compositions": 20, "colours": 120, "recolour": 30}


def make_adherence() -> Suite:
    """Single objects, numbers, two objects with colours of their own, and positions."""
    rng = Random(SEED)  # noqa: S311  # a draw of prompts is no cryptography
    prompts: list[Prompt] = []
    for skill in SKILLS:
        rows = _distinct(EACH["adherence"], partial(_scene, rng, skill), lambda scene: scene.prompt)
        prompts += [
            Prompt(id=f"{skill}-{number:03}", kind=skill, prompt=scene.prompt, ask=ask_of(scene))
            for number, scene in enumerate(rows, 1)
        ]
    return _suite(
        "nano-adherence-1", "objects, numbers, colours and places for the embedded model", prompts, "adherence-scenes"
    )


def make_edits() -> Suite:
    """Every kind of edit of one picture, and compositions of two to four."""
    rng = Random(SEED + 1)  # noqa: S311
    prompts: list[Prompt] = []
    for kind in (*EDITS, *COMPOSITIONS):
        count = EACH["edits"] if kind in EDITS else EACH["compositions"]
        rows = _distinct(count, partial(_edit, rng, kind), lambda edit: str((edit.prompt, edit.references)))
        prompts += [
            Prompt(
                id=f"{kind}-{number:03}", kind=kind, prompt=edit.prompt, ask=ask_of_edit(edit), references=specs(edit)
            )
            for number, edit in enumerate(rows, 1)
        ]
    about = "edits of one picture and compositions of several for the embedded model"
    return _suite("nano-edits-1", about, prompts, "edits", "adherence-scenes", "typography")


def make_colours() -> Suite:
    """Shapes in HEX colours, drawn and recoloured."""
    rng = Random(SEED + 2)  # noqa: S311
    prompts: list[Prompt] = []
    scenes = _distinct(
        EACH["colours"], lambda: sample_scene(rng, kind="hex", held_out=True), lambda scene: scene.prompt
    )
    for number, scene in enumerate(scenes, 1):
        (item,) = scene.items
        shown = {"objects": [{"class": item.shape}], "colour": item.colour, "background": scene.background}
        prompts.append(Prompt(id=f"draw-{number:03}", kind="draw", prompt=scene.prompt, ask=shown))
    edits = _distinct(EACH["recolour"], lambda: _recolour(rng), lambda edit: str((edit.prompt, edit.references)))
    for number, edit in enumerate(edits, 1):
        ask = ask_of_edit(edit)
        ask |= {"objects": [{"class": ask["edit"]["changed"]["class"]}], "colour": ask["edit"]["to"]["colour"]}
        prompts.append(
            Prompt(id=f"recolour-{number:03}", kind="recolour", prompt=edit.prompt, ask=ask, references=specs(edit))
        )
    return _suite("nano-colours-1", "shapes in HEX colours for the embedded model", prompts, "hex-colour", "edits")


def ask_of(scene: Scene) -> dict[str, Any]:
    """What a scene of shapes shows, for `adherence-scenes`."""
    first = scene.items[0]
    if scene.kind in ("count", "single"):
        clause: dict[str, Any] = {"class": first.shape, "colour": first.colour}
        if scene.kind == "count":
            clause |= {"count": len(scene.items), "exact_count": True}
        return {"objects": [clause], "background": scene.background}
    ask: dict[str, Any] = {
        "objects": [{"class": item.shape, "colour": item.colour} for item in scene.items],
        "background": scene.background,
    }
    if scene.relation in RELATIONS:
        ask["relations"] = [{"first": 0, "relation": RELATIONS[scene.relation], "second": 1}]
    return ask


def ask_of_edit(edit: Edit) -> dict[str, Any]:
    """What an edit changes, for the scorer `edits`; of a composition what it shows, for `adherence-scenes`."""
    target = edit.target
    if edit.kind in COMPOSITIONS:
        ask: dict[str, Any] = {
            "objects": [{"class": item.shape, "colour": item.colour} for item in target.items],
            "background": target.background,
        }
        for relation in RELATIONS.values():
            if edit.prompt.startswith((f"image 1 {relation} ", f"image 1 to the {relation} ")):
                ask["relations"] = [{"first": 0, "relation": relation, "second": 1}]
        return ask
    old, new = _difference(edit.references[0].items, target.items)
    changed = {"class": old.shape} if old else {}
    ask = {"edit": {"kind": edit.kind, "changed": changed, "to": _result(edit, new)}}
    return ask | ({"text": [new.text]} if new and new.text else {})


def _result(edit: Edit, new: Item | None) -> dict[str, Any]:
    words = edit.prompt.split()
    match edit.kind:
        case "recolour":
            assert new is not None
            return {"colour": new.colour}
        case "replace":
            assert new is not None
            return {"class": new.shape}
        case "move":
            return {"place": words[-1]}
        case "resize":
            return {"size": words[-1]}
        case "background":
            return {"colour": edit.target.background}
        case "write":
            assert new is not None
            return {"text": new.text, "colour": new.colour}
        case "add":
            assert new is not None
            relation = next(value for value in RELATIONS.values() if f" {value} " in edit.prompt)
            return {"class": new.shape, "colour": new.colour, "relation": relation, "of": words[-1]}
    return {}


def _difference(before: tuple[Item, ...], after: tuple[Item, ...]) -> tuple[Item | None, Item | None]:
    """The item that goes and the one that comes."""
    gone = [item for item in before if item not in after]
    come = [item for item in after if item not in before]
    return (gone[0] if gone else None), (come[0] if come else None)


def specs(edit: Edit, *, width: int | None = None) -> tuple[dict[str, Any], ...]:
    """The references of an edit as scenes that a suite's file can hold."""
    return tuple(
        {
            "background": scene.background,
            "items": [
                {"shape": item.shape, "colour": item.colour, "x": item.x, "y": item.y, "radius": item.radius}
                | ({"text": item.text} if item.text else {})
                for item in scene.items
            ],
        }
        | ({"width": width} if width else {})
        for scene in edit.references
    )


def _scene(rng: Random, skill: str) -> Scene:
    """One held-out scene of a skill. Two objects have two shapes: GenEval's rule cannot tell two of one class apart."""
    while True:
        match skill:
            case "single":
                return sample_scene(rng, kind="single", held_out=True)
            case "counting":
                return sample_scene(rng, kind="count", held_out=True)
        scene = sample_scene(rng, kind="relation", held_out=True)
        apart = len({item.shape for item in scene.items}) == len({item.colour for item in scene.items}) == 2
        if apart and (scene.relation in RELATIONS) == (skill == "position"):
            return scene


def _edit(rng: Random, kind: str) -> Edit:
    """One held-out edit whose objects differ in shape, for the reason above."""
    while True:
        edit = sample_edit(rng, kind=kind, held_out=True)
        if len({item.shape for item in edit.target.items}) == len(edit.target.items):
            return edit


def _recolour(rng: Random) -> Edit:
    """A held-out edit that asks for a HEX colour."""
    while True:
        edit = sample_edit(rng, kind="recolour", held_out=True)
        if "#" in edit.prompt:
            return edit


def _distinct(count: int, draw: Callable[[], T], key: Callable[[T], str]) -> list[T]:
    found: dict[str, T] = {}
    while len(found) < count:
        drawn = draw()
        found.setdefault(key(drawn), drawn)
    return list(found.values())


def _suite(name: str, about: str, prompts: list[Prompt], *scorers: str) -> Suite:
    return own_suite(name, f"Held-out prompts: {about}; seed {SEED}.", prompts, *scorers)


if __name__ == "__main__":
    ship(make_adherence(), make_edits(), make_colours())
