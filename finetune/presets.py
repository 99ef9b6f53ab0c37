"""Starting points for common aims, and how a configuration is put together from a preset, a file and single fields.

The command line and the panel build their configurations here, so that the same choices give the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from finetune.config import TrainConfig, TrainConfigError
from workbench.errors import nearest

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "style": {"adapter.rank": 16, "optimiser.learning_rate": 2e-4, "steps": 600},
        "character": {"adapter.rank": 32, "optimiser.learning_rate": 2e-4, "steps": 1000},
        "product": {"adapter.rank": 24, "optimiser.learning_rate": 2e-4, "steps": 800},
        "edit": {"adapter.rank": 32, "optimiser.learning_rate": 1e-4, "steps": 500},
        "nano": {
            "optimiser.learning_rate": 2e-3,
            "timesteps.mean": 1.0,  # what a small model draws is decided early, where noise is high
            "data.caption_dropout": 0.1,
            "prior_weight": 8.0,
            "batch_size": 4,
            "steps": 300,
        },
    }
)
"""Fields by their dotted names. The first four are for the published models, `nano` is for the embedded one."""


def build_config(*, preset: str = "", file: Path | None = None, fields: Mapping[str, Any] | None = None) -> TrainConfig:
    """The configuration from a preset, then a file, then single fields; later ones win.

    Args:
        preset: a name of `PRESETS`; empty: none.
        file: YAML; what it leaves out comes from the preset.
        fields: by dotted name, such as `adapter.rank`.

    Raises:
        TrainConfigError: there is no such preset, the file cannot be read, or a field is wrong.
        DataConfigError: the same inside `data`.
    """
    if preset and preset not in PRESETS:
        raise TrainConfigError(f"There is no preset {preset!r}.", nearest(preset, PRESETS))
    values: dict[str, Any] = {}
    for name, value in PRESETS.get(preset, {}).items():
        _set(values, name.split("."), value)
    if file is not None:
        _merge(values, TrainConfig.load(file).model_dump(mode="json", exclude_unset=True))
    for name, value in (fields or {}).items():
        _set(values, name.split("."), value)
    return TrainConfig.parse(values)


def _merge(values: dict[str, Any], other: Mapping[str, Any]) -> None:
    for name, value in other.items():
        if isinstance(value, Mapping) and isinstance(values.get(name), dict):
            _merge(values[name], value)
        else:
            values[name] = value


def _set(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a field by its path; `data` given as a path alone becomes a mapping when a field of it is set."""
    for part in path[:-1]:
        inner = values.get(part)
        if part == "data" and isinstance(inner, str):
            inner = {"path": inner}
        values[part] = dict(inner) if isinstance(inner, dict) else {}
        values = values[part]
    last = path[-1]
    if last == "data" and isinstance(values.get(last), dict) and isinstance(value, str):
        value = {key: each for key, each in values[last].items() if key != "sources"} | {"path": value}
    values[last] = value
