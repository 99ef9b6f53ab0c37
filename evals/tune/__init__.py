"""Search over recipes: which steps, guidance, adapter weights or checkpoints score best, and by how much on new prompts.

    space = load_space("space.yaml")
    result = tune(session, space, "out")      # resumable; a second call computes nothing
    print(result.sentence)
    result.save("out")

Optuna proposes recipes, successive halving gives more prompts to those that do well, and the winner meets the default on
prompts that the search has never seen.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.tune.result import TuneResult
    from evals.tune.search import tune
    from evals.tune.space import Space, TuneError, load_space

__all__ = ["Space", "TuneError", "TuneResult", "load_space", "tune"]

_HOMES = {
    "Space": "space",
    "TuneError": "space",
    "TuneResult": "result",
    "load_space": "space",
    "tune": "search",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"evals.tune.{_HOMES[name]}"), name)
