"""Recipes as text: YAML that reads back, and one sentence for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from workbench.errors import RecipeError, nearest


def dump_yaml(value: Any, **style: Any) -> str:
    """`value` as YAML for people, which reads back as it was.

    PyYAML writes U+0085 (next line) as a line break that it then reads as a space, so a text with one is escaped.
    """
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, **style)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=False, **style) if "\x85" in text else text


def load_text(text: str) -> Any:
    """JSON or YAML; YAML alone would refuse a few control characters that JSON may hold unescaped."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return yaml.safe_load(text)


def explain(error: ValidationError, owner: type[BaseModel], parts: Mapping[str, type[BaseModel]]) -> RecipeError:
    """One sentence for the first problem pydantic found.

    Args:
        error: what it found.
        owner: the model that was built.
        parts: the models of fields that hold others, for the names of their fields.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "recipe"
    if first["type"] == "extra_forbidden":
        known = parts.get(str(first["loc"][0]), owner).model_fields if len(first["loc"]) > 1 else owner.model_fields
        return RecipeError(f"There is no recipe field {where!r}.", nearest(str(first["loc"][-1]), known))
    field = owner.model_fields.get(str(first["loc"][0])) if first["loc"] else None
    hint = f"{where}: {field.description}" if field and field.description else ""
    return RecipeError(f"The recipe field {where!r} cannot be {first['input']!r}: {first['msg'].lower()}.", hint)
