"""What a front end may offer: models, tasks, limits, schedulers, features; read from the tables that the engine uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from workbench.recipe.conditions import MAX_REFERENCES, Task

if TYPE_CHECKING:
    from workbench.models.catalog import Model

_SCHEDULE = (
    "steps",
    "shift",
    "sigmas",
    "sampler",
    "scheduler",
    "schedule",
)  # recipe fields that shape the noise levels
_DISTRIBUTION = "flux-workbench"


def capabilities(home: str | Path | None = None) -> dict[str, Any]:
    """JSON values that describe what this installation can do. Reads no weights and imports no torch.

    Args:
        home: folder of models and adapters; None: the settings' one.

    Returns:
        `version`; `tasks`; `recipe`, the JSON schema of a recipe with every field's range; `families`, the rows of the
        table of families; `models` and `adapters` that are here, and what is wrong with `broken` ones; `schedulers`;
        `limits`; `features`, the extras with the packages that they lack; `settings`.

    Raises:
        SettingsError: a setting that cannot be used.
    """
    from workbench import __version__
    from workbench.models.catalog import ModelCatalog
    from workbench.models.families import FAMILIES
    from workbench.prompts import DEFAULT_LIMIT
    from workbench.recipe import Recipe
    from workbench.settings import Settings, settings

    chosen = settings(home=home)
    catalog = ModelCatalog(chosen.home, chosen.models, device=chosen.device)
    schema = Recipe.model_json_schema()
    return {
        "format": 1,
        "version": __version__,
        "tasks": list(get_args(Task)),
        "recipe": schema,
        "families": {name: _family(row) for name, row in FAMILIES.items()},
        "models": [_model(model) for model in catalog.models()],
        "broken": {name: str(error) for name, error in catalog.broken().items()},
        "adapters": catalog.adapters(),
        "schedulers": {
            "classes": sorted(
                {row.components["scheduler"] for row in FAMILIES.values() if "scheduler" in row.components}
            ),
            "fields": [name for name in _SCHEDULE if name in schema["properties"]],
        },
        "limits": {"references": MAX_REFERENCES, "prompts": DEFAULT_LIMIT, "axis_values": _axis_values()},
        "features": features(),
        "recall": ["workbench", "InvokeAI", "AUTOMATIC1111", "SwarmUI", "ComfyUI"],
        "settings": {name: field.description for name, field in Settings.model_fields.items()},
    }


def features() -> dict[str, dict[str, Any]]:
    """The package's extras: whether all their packages are installed, and which are missing."""
    wanted: dict[str, set[str]] = {}
    try:
        requirements = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return {}
    for line in requirements:
        name, extra = re.match(r"[\w.-]+", line), re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if name and extra and name[0] != _DISTRIBUTION:
            wanted.setdefault(extra[1], set()).add(name[0])
    return {
        extra: {"available": not (missing := sorted(filter(_is_missing, names))), "missing": missing}
        for extra, names in sorted(wanted.items())
    }


def _is_missing(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return True
    return False


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "family": model.family.name,
        "tasks": list(model.tasks),
        "distilled": model.is_distilled,
        "parameters": model.parameters,
        "width": {"default": model.width, "minimum": model.min_side, "maximum": model.max_side},
        "height": {"default": model.height, "minimum": model.min_side, "maximum": model.max_side},
        "size_multiple": model.size_multiple,
        "max_pixels": model.max_pixels,
        "steps": model.steps,
        "guidance_scale": model.guidance_scale,
        "max_sequence_length": model.max_sequence_length,
        "max_references": model.max_references,
        "precision": model.precision,
    }


def _family(row: Any) -> dict[str, Any]:
    return {each.name: _plain(getattr(row, each.name)) for each in fields(row) if each.name != "name"}


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _axis_values() -> int:
    from workbench.grid.ranges import MAX_VALUES

    return MAX_VALUES
