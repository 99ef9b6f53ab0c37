"""A FLUX research workbench: recipes, grids, panels.

Names are imported when they are first used, so `import workbench` costs next to nothing and brings in no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench._capabilities import capabilities
    from workbench.comparison import compare
    from workbench.engine import Engine
    from workbench.errors import WorkbenchError
    from workbench.grid import Grid
    from workbench.metadata import recall
    from workbench.panels import GalleryPanel, GenerationPanel, GridPanel, QueuePanel
    from workbench.queue import Queue, Sweep
    from workbench.recipe import Adapter, Recipe
    from workbench.recipe.conditions import Reference
    from workbench.session import Session

__version__ = "0.1.0"

__all__ = [
    "Adapter",
    "Engine",
    "GalleryPanel",
    "GenerationPanel",
    "Grid",
    "GridPanel",
    "Queue",
    "QueuePanel",
    "Recipe",
    "Reference",
    "Session",
    "Sweep",
    "WorkbenchError",
    "__version__",
    "capabilities",
    "compare",
    "recall",
]

_HOMES = {
    "Adapter": "workbench.recipe",
    "Engine": "workbench.engine",
    "GalleryPanel": "workbench.panels",
    "GenerationPanel": "workbench.panels",
    "Grid": "workbench.grid",
    "GridPanel": "workbench.panels",
    "Queue": "workbench.queue",
    "QueuePanel": "workbench.panels",
    "Recipe": "workbench.recipe",
    "Reference": "workbench.recipe.conditions",
    "Session": "workbench.session",
    "Sweep": "workbench.queue",
    "WorkbenchError": "workbench.errors",
    "capabilities": "workbench._capabilities",
    "compare": "workbench.comparison",
    "recall": "workbench.metadata",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
