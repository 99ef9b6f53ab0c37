"""How often the judge agrees with the truth: the tables of docs/evals_nano.md.

Run `python -m tests.evals.agreement 1000` from the repository's root. The tests hold the same bars on fewer scenes.
"""

from __future__ import annotations

import sys
from collections import Counter
from random import Random
from typing import Any

from evals.scenes.colours import NAMES
from evals.scenes.judge import judge
from evals.scenes.prompt import SHAPES
from evals.scenes.read import RapidReader
from evals.scenes.verdict import Verdict, asked
from tests.evals.judging import LIES, damaged, lie, scenes
from workbench.nano.render import render

WORDS = 4  # one word scene in so many is read: reading is the slowest check by far
KINDS = ("single", "relation", "count", "word", "word+shape")


def agreement(count: int, *, harm: bool) -> tuple[dict[str, str], dict[str, Counter[tuple[str, str]]]]:
    """Right of judged for each check, and what was seen for each shape and colour asked for."""
    reader = RapidReader()
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    seen: dict[str, Counter[tuple[str, str]]] = {"shape": Counter(), "colour": Counter()}
    for index, scene in enumerate(scenes(count, seed=101, kinds=KINDS)):
        picture = render(scene)
        able = reader if index < count // WORDS else None
        verdict = judge(damaged(picture, index) if harm else picture, scene.prompt, reader=able)
        for name in asked(verdict.expected):
            if verdict.checks[name].ok is None:
                continue
            total[name] += 1
            right[name] += verdict.checks[name].ok is True
        _pairs(verdict, seen)
    return {name: f"{right[name]} / {total[name]}" for name in total}, seen


def _pairs(verdict: Verdict, seen: dict[str, Counter[tuple[str, str]]]) -> None:
    for thing, look in verdict.matches:
        seen["shape"][thing.shape, look.shape.name if look else "missing"] += 1
        seen["colour"][thing.colour, look.blob.colour.name if look else "missing"] += 1


def refusals(count: int) -> dict[str, list[str]]:
    """Refused of told for each kind of lie, clean and damaged."""
    found: dict[str, list[str]] = {}
    for how in LIES:
        rng, told = Random(7), [0, 0, 0]
        for index, scene in enumerate(scenes(count, seed=103)):
            if made := lie(scene, how, rng):
                picture, prompt = made
                told[2] += 1
                for harm in (0, 1):
                    verdict = judge(damaged(picture, index) if harm else picture, prompt)
                    told[harm] += verdict.right is False
        found[how] = [f"{refused} / {told[2]}" for refused in told[:2]]
    return found


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def main(count: int) -> None:
    """Print everything as Markdown."""
    clean, seen = agreement(count, harm=False)
    harmed, seen_harmed = agreement(count, harm=True)
    print(_table(["check", "clean", "damaged"], [[name, clean[name], harmed[name]] for name in clean]))
    for what, names in (("shape", SHAPES), ("colour", NAMES)):
        for label, pairs in (("clean", seen[what]), ("damaged", seen_harmed[what])):
            columns = [*names, "unknown", "missing"]
            rows = [[wanted, *(pairs[wanted, column] or "" for column in columns)] for wanted in names]
            print(_table([f"{what}, {label}", *columns], rows))
    print(_table(["lie", "clean", "damaged"], [[how, *refused] for how, refused in refusals(count // 4).items()]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
