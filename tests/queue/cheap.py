"""A kind of job that draws a small picture without any model, and keeps it in the real store."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from PIL import Image

from workbench.engine.events import Result
from workbench.queue.errors import JobError
from workbench.queue.kinds import Context, register
from workbench.queue.queue import Queue
from workbench.queue.submit import Item, store
from workbench.recipe import Recipe, ResolvedRecipe
from workbench.session import Session
from workbench.settings import settings

KIND = "test.draw"


def resolved(seed: int) -> ResolvedRecipe:
    recipe = Recipe(
        model="tiny", prompt="a dot", seed=seed, width=16, height=16, steps=1, guidance_scale=1.0,
        max_sequence_length=8, precision="float32",
    )  # fmt: skip
    return ResolvedRecipe(recipe=recipe, weights="ab" * 32)


class Draw:
    """Draws what is not stored; every picture that was added is a line of `drawn.txt`."""

    def check(self, payload: dict[str, Any]) -> str:
        if not isinstance(payload.get("seed"), int):
            raise JobError("The seed is no number.", "Give one.")
        return f"dot {payload['seed']}"

    def run(self, payload: dict[str, Any], context: Context) -> None:
        made = resolved(payload["seed"])
        kept = context.session.store
        if kept.get(made.digest) is None:
            colour = tuple(hashlib.sha256(str(payload["seed"]).encode()).digest()[:3])
            picture = Image.new("RGB", (16, 16), colour)
            kept.add(Result(0, made.recipe, made, picture=picture))
            note(context.session.settings.home, made.digest)
        context.step(1, 1)


def note(home: Path, line: str) -> None:
    """One line, whole also when several processes write."""
    handle = os.open(home / "drawn.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def open_queue(home: Path, database: str | None = None) -> Queue:
    register(KIND, Draw())
    return Queue(Session(settings(home=home, device="cpu", database=database)))


def submit(queue: Queue, count: int, *, first: int = 0, share: str = "", priority: int = 0) -> int:
    """`count` jobs in one batch, without the time that checking recipes takes. Returns the batch's number."""
    items = [
        Item(KIND, f'{{"seed": {seed}}}', f"dot {seed}", resolved(seed).digest, share)
        for seed in range(first, first + count)
    ]
    return queue.database.write(lambda c: store(c, items, title="dots", priority=priority))
