"""Contenders as people write them: at the command line, or in a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from evals.running.types import Contender, RunError

_MOST_BYTES = 2**20


def parse_contenders(texts: Sequence[str]) -> list[Contender]:
    """Contenders from MODEL[,FIELD=VALUE...] or from YAML files.

    - `klein-nano-base` is a model; `klein-nano-base,steps=8,guidance_scale=3` a model with recipe fields;
    - `name=LABEL` gives it a name of its own (default: the text);
    - `adapters=plain:0.5+other` are LoRAs with weights;
    - a path that ends with .yaml holds a mapping of names to recipe fields.

    Raises:
        RunError: a field without a value, or a file that is no such mapping.
    """
    found: list[Contender] = []
    for text in texts:
        found += _from_file(Path(text)) if text.endswith((".yaml", ".yml")) else [_from_text(text)]
    return found


def _from_text(text: str) -> Contender:
    model, *rest = text.split(",")
    fields: dict[str, Any] = {"model": model.strip()}
    if not fields["model"]:
        raise RunError(f"The contender {text!r} names no model.", "Write MODEL,FIELD=VALUE,...")
    for part in rest:
        name, equals, value = (each.strip() for each in part.partition("="))
        if not (equals and name and value):
            raise RunError(f"The field {part!r} of the contender {text!r} has no value.", "Write FIELD=VALUE.")
        fields[name] = _adapters(value) if name == "adapters" else yaml.safe_load(value)
    return Contender(str(fields.pop("name", text)), fields)


def _adapters(text: str) -> list[dict[str, Any]]:
    found = []
    for part in text.split("+"):
        name, colon, weight = part.rpartition(":")
        try:
            found.append({"name": name, "weight": float(weight)} if colon else {"name": part})
        except ValueError:  # the colon belongs to a path
            found.append({"name": part})
    return found


def _from_file(path: Path) -> list[Contender]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RunError(f"The file {str(path)!r} is too large to hold contenders.")
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"The file {str(path)!r} cannot be read: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict) or not all(isinstance(each, dict) for each in values.values()):
        raise RunError(
            f"The file {str(path)!r} holds no contenders.", "Write NAME: {model: ..., steps: ...}, one for each."
        )
    return [Contender(str(name), fields) for name, fields in values.items()]
