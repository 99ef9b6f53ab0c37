"""What all pictures of a grid share, in one line of words."""

from __future__ import annotations

from typing import Any

from workbench.grid.labels import short_name
from workbench.grid.plan import Plan
from workbench.recipe.approximate import parse
from workbench.recipe.conditions import SIDES

_USUAL = ("task", "seed", "max_sequence_length", "precision")  # told only where the base recipe sets them


def fixed_pairs(plan: Plan) -> list[tuple[str, str]]:
    """(name, value) of everything that is the same in every picture, as people read it; the prompt comes first."""
    fixed = dict(plan.fixed)
    written = plan.base.model_dump(exclude_defaults=True)
    pairs: list[tuple[str, str]] = []
    for name, label in (("prompt", "Prompt"), ("negative_prompt", "Negative prompt")):
        text = fixed.pop(name, None)
        if text is None and plan.replaced and getattr(plan.base, name):
            text = getattr(plan.base, name)
            for search in plan.replaced:
                text = text.replace(search, f"[{search}]")
        if text:
            pairs.append((label, f"“{text}”"))
    if "model" in fixed:
        pairs.append(("Model", fixed.pop("model")))
    if "width" in fixed and "height" in fixed:
        pairs.append(("Size", f"{fixed.pop('width')} × {fixed.pop('height')} px"))
    for name, value in fixed.items():
        if name not in _USUAL or name in written:
            pairs.append((name.replace("_", " ").capitalize(), _words(name, value)))
    if len(plan.seeds) == 1:
        pairs = [pair for pair in pairs if pair[0] != "Seed"]
        pairs.append(("Seed", str(plan.seeds[0])))
    elif plan.seeds:
        pairs.append(("Seeds", ", ".join(str(seed) for seed in plan.seeds) + " (left to right)"))
    return pairs


def caption(plan: Plan) -> str:
    """The pairs of `fixed_pairs` in one line."""
    return "  ·  ".join(f"{name} {value}" for name, value in fixed_pairs(plan))


def _words(name: str, value: Any) -> str:
    if name == "adapters":
        return ", ".join(f"{adapter.name} × {adapter.weight:g}" for adapter in value)
    if name == "references":
        return " + ".join(short_name(reference.picture) for reference in value)
    if name == "redux":
        return " + ".join(f"{short_name(each.picture)} × {each.weight:g}" for each in value)
    if name in ("regions", "boxes"):
        return " + ".join(str(part) for part in value)
    if name in ("image", "mask", "control"):
        return short_name(value)
    if name == "cache":
        return f"{parse(value).short} (approximate)"
    if name == "margins":
        return ", ".join(f"{side} {pixels}" for side, pixels in zip(SIDES, value, strict=True) if pixels) + " px"
    return f"{value:g}" if isinstance(value, float) else str(value)
