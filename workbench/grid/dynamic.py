"""Axes of prompts that are not written out: a dynamic prompt, or the prompts of a file.

    {dynamic: 'a {red|blue} {circle|star}'}                         all combinations
    {dynamic: 'a __colour__ star', mode: random, number: 5, seed: 7}
    {prompts: prompts.txt}                                          every one of a list, each dynamic

They become an axis of the field `prompt` with its values written out, so a saved grid needs neither file nor wildcard.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import GridError, nearest

KINDS = ("dynamic", "prompts")
_KEYS = {"dynamic", "prompts", "field", "mode", "number", "seed", "limit", "wildcards", "title", "skip"}


def unfold(written: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """`written` as it is, or the field axis that a dynamic prompt or a list stands for.

    Args:
        written: a mapping that describes an axis.
        number: its place in the list, from 1, for the error text.

    Raises:
        GridError: an unknown key, or both kinds at once.
        DynamicPromptError: the prompt or file cannot be read, or stands for too many prompts.
    """
    if not any(kind in written for kind in KINDS):
        return written
    from workbench.prompts import DEFAULT_LIMIT, Wildcards, expand, read_prompts
    from workbench.prompts.wildcards import FOLDER
    from workbench.settings import settings

    for key in written:
        if key not in _KEYS:
            raise GridError(f"Axis {number} has no key {key!r}.", nearest(str(key), _KEYS))
    if all(kind in written for kind in KINDS):
        raise GridError(f"Axis {number} is of the kinds dynamic and prompts at once.", "Make two axes of them.")
    field = written.get("field", "prompt")
    if field not in ("prompt", "negative_prompt"):
        raise GridError(f"Axis {number}: {field!r} is no prompt.", "Use the field prompt or negative_prompt.")
    texts = [written["dynamic"]] if "dynamic" in written else read_prompts(str(written["prompts"]))
    numbers = {name: written.get(name, default) for name, default in (("seed", 0), ("limit", DEFAULT_LIMIT))}
    amount, mode = written.get("number"), written.get("mode", "all")
    if mode not in ("all", "random") or not all(_is_whole(value) for value in (*numbers.values(), amount or 1)):
        raise GridError(
            f"Axis {number} cannot be expanded: its mode is {mode!r}, or a number is none.",
            "mode is all or random; number, seed and limit are whole numbers.",
        )
    folder = written.get("wildcards")
    wildcards = Wildcards(Path(str(folder)) if folder is not None else settings().home / FOLDER)
    values: list[str] = []
    for text in texts:
        values += expand(str(text), mode=mode, number=amount, wildcards=wildcards, **numbers)
    kept = {key: written[key] for key in ("title", "skip") if key in written}
    return {"field": field, "values": tuple(values)} | kept


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
