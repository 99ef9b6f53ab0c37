"""The engine: recipes in, pictures out. Importing this is torch-free; `Engine` is loaded when first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.engine.events import CancelToken, Event, Finished, Listener, Planned, Result, Saving, Step

if TYPE_CHECKING:
    from workbench.engine.engine import Engine

__all__ = ["CancelToken", "Engine", "Event", "Finished", "Listener", "Planned", "Result", "Saving", "Step"]


def __getattr__(name: str) -> Any:
    if name == "Engine":
        from workbench.engine.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
