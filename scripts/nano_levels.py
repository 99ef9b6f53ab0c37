"""Find the noise level from which a model's errors come: rendered truth is noised, the model finishes it, and it is judged.

    .venv/bin/python scripts/nano_levels.py [--model klein-nano-base] [--kinds single count] [--matching "star|cross"]

Where every picture comes back right, the model has nothing left to learn about what its prompt asks for; the level at
which they begin to fail is where training has to be (docs/decisions/008).
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import torch
from PIL import Image

from evals.scenes.judge import judge
from evals.scenes.prompt import parse
from evals.scenes.read import RapidReader
from workbench.nano.edits import BUILDERS, sample_edit
from workbench.nano.render import render
from workbench.nano.scenes import KINDS, Scene, sample_scene
from workbench.recipe import Recipe
from workbench.session import Session

LEVELS = (0.3, 0.5, 0.7, 0.85, 0.95, 1.0)  # of noise; 1 is noise alone
STEPS, SHIFT = 28, 2.0


@dataclass(frozen=True)
class Example:
    """A held-out prompt with what it starts from and what is right."""

    prompt: str
    target: Scene
    references: tuple[Scene, ...]


def held_out(kind: str) -> Iterator[Example]:
    """Endless held-out examples of a kind, the same at every call."""
    rng = Random(kind)  # noqa: S311  scenes, not secrets
    while True:
        if kind in BUILDERS:
            edit = sample_edit(rng, kind=kind, held_out=True)
            yield Example(edit.prompt, edit.target, edit.references)
        else:
            scene = sample_scene(rng, kind=kind, held_out=True)  # type: ignore[arg-type]
            yield Example(scene.prompt, scene, ())


def sigmas_from(level: float) -> tuple[float, ...]:
    """The sampler's noise levels below `level`, after `level` itself."""
    plain = torch.linspace(1, 1 / STEPS, STEPS)
    usual = (SHIFT * plain / (1 + (SHIFT - 1) * plain)).tolist()
    return (level, *(sigma for sigma in usual if sigma < level))


def recipes(model: str, examples: list[Example], level: float, folder: Path) -> list[Recipe]:
    """One recipe an example: its truth noised to `level`, with its references."""
    found = []
    for number, example in enumerate(examples):
        fields = {"model": model, "prompt": example.prompt, "seed": number, "sigmas": sigmas_from(level)}
        if level < 1:
            fields |= {"image": _saved(example.target, folder), "strength": 1.0}
        else:
            fields |= {"width": 128, "height": 128}
        if example.references:
            fields["references"] = [_saved(scene, folder) for scene in example.references]
        found.append(Recipe.parse(fields))
    return found


def _saved(scene: Scene, folder: Path) -> str:
    path = folder / f"{abs(hash(scene))}.png"
    Image.fromarray(render(scene, 128)).save(path)
    return str(path)


def main() -> None:
    """Command line: a Markdown table, line by line as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="klein-nano-base")
    parser.add_argument("--kinds", nargs="+", default=["single", "count", "recolour", "compose-pair"])
    parser.add_argument("--matching", default="", help="regular expression; only prompts in which it is found")
    parser.add_argument("--limit", type=int, default=24, help="examples of each kind")
    args = parser.parse_args()
    if unknown := set(args.kinds) - set(KINDS) - set(BUILDERS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; take of {', '.join((*KINDS, *BUILDERS))}")
    reader = RapidReader()
    print("| kind | " + " | ".join(map(str, LEVELS)) + " |\n|---|" + "---|" * len(LEVELS))
    with tempfile.TemporaryDirectory() as folder:
        session = Session(home=folder)
        for kind in args.kinds:
            wanted = (each for each in held_out(kind) if re.search(args.matching, each.prompt))
            examples = list(islice(wanted, args.limit))
            right = []
            for level in LEVELS:
                results = session.run(recipes(args.model, examples, level, Path(folder)))
                pictures = {result.index: result for result in results}
                for result in pictures.values():
                    if result.error is not None:
                        raise result.error
                verdicts = (
                    judge(pictures[number].picture, parse(each.target.prompt), reader=reader)
                    for number, each in enumerate(examples)
                )
                right.append(sum(bool(verdict.right) for verdict in verdicts))
            print(f"| {kind} | " + " | ".join(f"{count}/{args.limit}" for count in right) + " |", flush=True)


if __name__ == "__main__":
    main()
