"""Which checkpoint of a run to keep, and at which weight: drawn, scored, compared, and said with intervals.

picked = pick(session, find_run("style"), PickConfig(suite="example:style"))
print(picked.sentence)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune.pick.candidates import checkpoint_grid
    from finetune.pick.concept import ConceptScorer, concept_suite
    from finetune.pick.config import PickConfig, PickError
    from finetune.pick.result import Picked
    from finetune.pick.run import pick

_HOMES = {
    "ConceptScorer": "concept",
    "PickConfig": "config",
    "PickError": "config",
    "Picked": "result",
    "checkpoint_grid": "candidates",
    "concept_suite": "concept",
    "pick": "run",
}

__all__ = ["ConceptScorer", "PickConfig", "PickError", "Picked", "checkpoint_grid", "concept_suite", "pick"]


def __getattr__(name: str) -> Any:
    """Import only what is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
