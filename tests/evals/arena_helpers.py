"""Contests of plain squares, and raters who prefer by known strengths."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from evals.arena import Ballot, Contest, Entry, make_contest
from evals.arena.ratings import expected

NAMES = ("secret-alpha", "secret-beta", "secret-gamma", "secret-delta")


def square(*colour: int) -> Image.Image:
    return Image.new("RGB", (8, 8), colour[:3])


def entries(prompts: int, contenders: int = 2, seeds: int = 1) -> list[Entry]:
    """Every picture is one of a kind."""
    return [
        Entry(
            NAMES[place], f"p{prompt}", f"prompt {prompt}", seed,
            lambda place=place, prompt=prompt, seed=seed: square(60 * place + 20, prompt, seed),  # type: ignore[misc]
        )
        for place in range(contenders)
        for prompt in range(prompts)
        for seed in range(seeds)
    ]  # fmt: skip


def contest_of(folder: Path, prompts: int = 6, contenders: int = 2, seeds: int = 1, **options: Any) -> Contest:
    return make_contest(folder, entries(prompts, contenders, seeds), **options)


def judge_all(contest: Contest, rater: str, strengths: dict[str, float], *, ties: float = 0.0, seed: int = 0) -> Ballot:
    """A rater who prefers as Bradley and Terry say, and calls a share of the pairs a tie."""
    random, ballot = Random(seed), Ballot(contest, rater)
    while (pair := ballot.next) is not None:
        left, right = (strengths[contest.contenders[place]] for place in (pair.left, pair.right))
        if random.random() < ties:
            ballot.vote(pair.number, "tie")
        else:
            ballot.vote(pair.number, "left" if random.random() < expected(left, right) else "right")
    return ballot
