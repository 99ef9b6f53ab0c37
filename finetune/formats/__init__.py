"""Adapter files that mean the same in every program: written with the scale folded in, read from any dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune.formats.load import AdapterFile, load_adapter
    from finetune.formats.save import FormatError, SaveFormat, save_adapter, save_changes

_HOMES = {
    "AdapterFile": "load",
    "load_adapter": "load",
    "FormatError": "save",
    "SaveFormat": "save",
    "save_adapter": "save",
    "save_changes": "save",
}

__all__ = ["AdapterFile", "FormatError", "SaveFormat", "load_adapter", "save_adapter", "save_changes"]


def __getattr__(name: str) -> Any:
    """Import torch only when something is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
