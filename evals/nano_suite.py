"""Makes the suite of the embedded model: held-out prompts of a stated mix, drawn with a fixed seed.

Run `python -m evals.nano_suite` to write `evals/suites/nano-2.json` again; a test holds that nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from random import Random
from typing import Any

from evals.shipped import ship
from evals.suite import Prompt, Suite
from workbench.nano.edits import BUILDERS, sample_edit
from workbench.nano.scenes import KINDS, Kind, Scene, sample_scene

SEED = 20261122
MIX: dict[Kind, int] = {"single": 100, "hex": 100, "relation": 150, "count": 150, "word": 200, "word+shape": 100}
EDITS = {
    **dict.fromkeys(("recolour", "remove", "move", "add", "replace", "background", "resize", "write"), 16),
    "compose-colour": 24,
    "compose-pair": 24,
    "compose-background": 12,
    "compose-3": 6,
    "compose-4": 6,
}
SIZES = ((96, 96), (96, 160), (160, 96), (192, 128), (128, 192), (192, 192), (256, 256))
EACH_SIZE = 10


def make_suite() -> Suite:
    """1,070 distinct rows that training never sees, grouped by kind; other sizes than the training's come last."""
    rng = Random(SEED)  # noqa: S311  # a draw of prompts is no cryptography
    rows = [*_scenes(rng), *_edits(rng), *_sizes(rng)]
    mix = ", ".join(f"{wanted} {kind}" for kind, wanted in (*MIX.items(), *EDITS.items()))
    sizes = len(SIZES) * EACH_SIZE
    about = f"Held-out scenes, edits and compositions of the embedded model: {mix}, {sizes} sizes; seed {SEED}."
    return Suite(name="nano-2", version=1, about=about, scorers=("scene",), prompts=tuple(rows))


def _scenes(rng: Random) -> Iterator[Prompt]:
    for kind, wanted in MIX.items():
        texts: dict[str, None] = {}
        while len(texts) < wanted:
            texts.setdefault(sample_scene(rng, kind=kind, held_out=True).prompt)
        for number, text in enumerate(texts, 1):
            yield Prompt(id=f"{kind}-{number:03}", kind=kind, prompt=text)


def _edits(rng: Random) -> Iterator[Prompt]:
    """Instructions whose result is asked for item by item, as the sentence alone does not tell it."""
    assert EDITS.keys() == BUILDERS.keys()
    for kind, wanted in EDITS.items():
        for number in range(1, wanted + 1):
            edit = sample_edit(rng, kind=kind, held_out=True)
            yield Prompt(
                id=f"{kind}-{number:03}",
                kind=kind,
                prompt=edit.prompt,
                ask={"scene": _plain(edit.target)},
                references=tuple(_plain(scene) for scene in edit.references),
            )


def _sizes(rng: Random) -> Iterator[Prompt]:
    """Scenes of every kind at sizes that are rare in training."""
    for width, height in SIZES:
        for number in range(EACH_SIZE):
            kind = tuple(KINDS)[number % len(KINDS)]
            prompt = sample_scene(rng, kind=kind, held_out=True).prompt
            name = f"{width}x{height}-{number + 1:02}"
            yield Prompt(id=name, kind="sizes", prompt=prompt, width=width, height=height)


def _plain(scene: Scene) -> dict[str, Any]:
    """A scene as plain JSON; places to three digits, a tenth of a pixel."""
    items = [
        {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(item).items()}
        for item in scene.items
    ]
    return {"background": scene.background, "items": items}


if __name__ == "__main__":
    ship(make_suite())
