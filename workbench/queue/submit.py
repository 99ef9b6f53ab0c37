"""Put jobs into the queue: everything is checked first, then all of it is stored, or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert

from workbench.errors import WorkbenchError
from workbench.queue.claims import plain
from workbench.queue.errors import QueueError
from workbench.queue.kinds import PICTURE, find
from workbench.queue.tables import batches, jobs
from workbench.recipe import Catalog, Recipe, ResolvedRecipe, resolve

MAX_JOBS = 100_000
"""The most jobs of one submission. A larger one is refused, never cut."""
TITLE = 200  # characters of a job's title; the recipe has the whole prompt
PRIORITIES = range(-1_000_000, 1_000_001)


@dataclass(frozen=True, slots=True)
class Item:
    """One job before it is stored."""

    kind: str
    payload: str  # JSON
    title: str
    digest: str = ""
    share: str = ""
    steps: int = 0


def pictures(recipes: Sequence[Recipe], titles: Sequence[str] | None, catalog: Catalog) -> list[Item]:
    """Recipes as jobs, every one resolved.

    Args:
        recipes: what to draw.
        titles: of the jobs, as many as recipes; None makes them from prompt, seed and model.
        catalog: finds their models, adapters and pictures.

    Raises:
        QueueError: nothing, or too much.
        WorkbenchError: the first recipe that cannot be drawn, with its number.
    """
    _check_amount(len(recipes))
    items = []
    for number, recipe in enumerate(recipes):
        try:
            resolved = resolve(recipe, catalog)
        except WorkbenchError as error:
            if len(recipes) == 1:
                raise
            raise type(error)(f"Recipe {number + 1} of {len(recipes)}: {error.message}", error.remedy) from None
        title = titles[number] if titles else f"{recipe.prompt or '(no prompt)'} · seed {recipe.seed} · {recipe.model}"
        payload = recipe.model_dump_json(exclude_defaults=True)
        steps = resolved.recipe.steps or 0
        items.append(Item(PICTURE, payload, title, resolved.digest, share_of(resolved), steps))
    return items


def other(kind: str, payload: dict[str, Any]) -> Item:
    """A job of a registered kind.

    Raises:
        WorkbenchError: the kind is unknown, or refuses the payload.
    """
    title = find(kind).check(payload)
    try:
        text = json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise QueueError(
            f"The payload of a job {kind!r} is no JSON: {error}.", "Use texts, numbers and lists."
        ) from None
    return Item(kind, text, title)


def share_of(resolved: ResolvedRecipe) -> str:
    """Equal for pictures that an engine can put into one batch: same weights, arithmetic, adapters and shape."""
    recipe = resolved.recipe
    facts = (
        resolved.weights,
        recipe.precision,
        [(weights, adapter.weight) for weights, adapter in zip(resolved.adapter_weights, recipe.adapters, strict=True)],
        (recipe.width, recipe.height, recipe.max_sequence_length),
        [reference.pixels for reference in recipe.references],
        recipe.mask is not None or recipe.margins is not None,
    )
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def store(connection: Connection, items: Sequence[Item], *, title: str, priority: int) -> int:
    """Write a batch with its jobs. Returns its number."""
    now = datetime.now(UTC)
    batch = connection.execute(insert(batches).values(title=plain(title), created=now)).inserted_primary_key
    assert batch is not None
    same = {
        "batch": batch[0], "state": "pending", "priority": priority, "attempts": 0, "deaths": 0, "step": 0,
        "created": now, "note": "", "code": "", "reason": "", "remedy": "",
    }  # fmt: skip
    rows = [
        same
        | {
            "kind": item.kind,
            "payload": item.payload,
            "title": plain(item.title)[:TITLE],
            "digest": item.digest,
            "share": item.share,
            "steps": item.steps,
        }
        for item in items
    ]
    connection.execute(insert(jobs), rows)
    return int(batch[0])


def check_priority(priority: object) -> None:
    """Refuse what is no priority.

    Raises:
        QueueError: not a whole number, or out of range.
    """
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in PRIORITIES:
        raise QueueError(
            f"The priority cannot be {priority!r}.",
            f"Use a whole number from {PRIORITIES[0]:,} to {PRIORITIES[-1]:,}; higher runs first.",
        )


def _check_amount(amount: int) -> None:
    if not amount:
        raise QueueError("There is nothing to submit.", "Give at least one recipe.")
    if amount > MAX_JOBS:
        raise QueueError(f"{amount:,} jobs are more than {MAX_JOBS:,}.", "Submit them in parts.")
