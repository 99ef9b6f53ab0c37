"""Edits of axes, joined into one recipe; all search texts are replaced in one pass."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import GridError
from workbench.grid.axis import PROMPTS
from workbench.grid.values import Edit
from workbench.recipe import Adapter, Recipe


def apply(base: Recipe, edits: Sequence[Edit]) -> Recipe:
    """`base` with all `edits`: fields, then adapters, then weights, then all search texts in one pass.

    The edits come from `values_of`, so their values are checked already.

    Raises:
        GridError: a search text that is in neither prompt, or one adapter twice.
    """
    changes: dict[str, Any] = {name: value for edit in edits for name, value in edit.fields.items()}
    adapters = list(changes.get("adapters", base.adapters))
    for edit in edits:
        adapters += edit.adapters or ()
    for edit in edits:
        if edit.weight is not None:
            name, weight = edit.weight
            if name is not None and all(adapter.name != name for adapter in adapters):
                adapters.append(Adapter(name=name, weight=weight))
            adapters = [
                Adapter(name=adapter.name, weight=weight, blocks=adapter.blocks)
                if name in (None, adapter.name)
                else adapter
                for adapter in adapters
            ]
    names = [adapter.name for adapter in adapters]
    for name in names:
        if names.count(name) > 1:
            raise GridError(f"A cell has the adapter {name!r} twice.", "Take it out of the base recipe or of the axis.")
    changes["adapters"] = tuple(adapters)
    replacements = dict(edit.replacement for edit in edits if edit.replacement is not None)
    if replacements:
        prompts = {name: changes.get(name, getattr(base, name)) for name in PROMPTS}
        changes |= _replace(prompts, replacements)
    return base.model_copy(update=changes)


def _replace(prompts: Mapping[str, str], replacements: Mapping[str, str]) -> dict[str, str]:
    """All search texts in one pass, longer ones first, so that no replacement is replaced again."""
    pattern = re.compile("|".join(re.escape(text) for text in sorted(replacements, key=len, reverse=True)))
    found: set[str] = set()

    def swap(match: re.Match[str]) -> str:
        found.add(match[0])
        return replacements[match[0]]

    replaced = {name: pattern.sub(swap, text) for name, text in prompts.items()}
    for text in replacements:
        if text not in found:
            raise GridError(
                f"The search text {text!r} is neither in the prompt {prompts['prompt']!r} nor in the negative prompt.",
                "Write it exactly as it stands there.",
            )
    return replaced
