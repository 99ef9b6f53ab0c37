"""Labels: values, paths and field names in the words that stand beside rows and columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from workbench.recipe.approximate import parse
from workbench.recipe.conditions import Reference
from workbench.recipe.controls import Variation

PICTURES = ("references", "image", "mask", "control", "redux")


def labels_of(values: Sequence[Any], *, paths: bool = False) -> list[str]:
    """Readable labels; a path shortens to its last part where that stays unambiguous."""
    labels = [short(value) if paths and isinstance(value, str) else number(value) for value in values]
    counts = Counter(labels)
    return [
        label if counts[label] == 1 or not isinstance(value, str) else value
        for label, value in zip(labels, values, strict=True)
    ]


def shown_value(name: str, value: Any) -> Any:
    """A value as its label is made of: structured ones as text, and what is not given as 'none'."""
    if name == "references":
        return " + ".join(_reference(part) for part in value) or "none"
    if name == "redux":
        return " + ".join(_variation(part) for part in value) or "none"
    if name in ("regions", "boxes"):
        return " + ".join(str(part) for part in value) or "none"
    if name == "margins":
        return ", ".join(str(pixels) for pixels in value) if value else "none"
    if name == "cache":
        return parse(value).short if value else "exact"
    if name == "sigmas" and value is not None:
        return ", ".join(f"{sigma:g}" for sigma in value)
    return "none" if value is None and name in PICTURES else value


def _reference(reference: Reference) -> str:
    size = "" if reference.size == "fit" else f" ({reference.size})"
    return f"{short_name(reference.picture)}{size}"


def _variation(variation: Variation) -> str:
    weight = "" if variation.weight is None else f" × {variation.weight:g}"
    return f"{short_name(variation.picture)}{weight}"


def short_name(picture: str) -> str:
    """A picture's file name, or the start of its digest."""
    return picture[:12] if re.fullmatch(r"[0-9a-f]{64}", picture) else short(picture)


def number(value: Any) -> str:
    """A value as it stands beside a row; numbers in their shortest form that loses nothing."""
    if value is None:
        return "model's default"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value) if str(value).strip() else "(empty)"


def short(name: str) -> str:
    """The last part of a path without its suffix, or the start of a digest."""
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return name[:12]
    return PurePath(name).name.removesuffix(".safetensors") or name


def in_words(name: str) -> str:
    """A field's name as a title."""
    return name.replace("_", " ").capitalize()
