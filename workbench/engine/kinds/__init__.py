"""One module per architecture: how it reads text and pictures, and how its transformer is called.

The engine asks `kind_of(parts)` for everything that architectures do differently; what they share (plans, batches, Euler
steps, masks, memory, events) is written once, outside. A new architecture is a module with a class that satisfies
`base.Kind`, a line in `KINDS`, and rows in `workbench.models.families` that name it.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from workbench.engine.kinds.base import Call, Conditions, Kind, Layout, Text, Tokens

if TYPE_CHECKING:
    from workbench.models.loading import Components

KINDS = {
    "flux1": "workbench.engine.kinds.flux1:Flux1",
    "flux1-fill": "workbench.engine.kinds.fill:Fill",
    "flux2-klein": "workbench.engine.kinds.klein:Klein",
    "flux2-klein-kv": "workbench.engine.kinds.klein_kv:KleinKV",
    "flux2-dev": "workbench.engine.kinds.flux2_dev:Dev",
    "flux3": "workbench.engine.kinds.flux3:Flux3",
}
"""Class of each kind, by the name that family rows give."""

__all__ = ["KINDS", "Call", "Conditions", "Kind", "Layout", "Text", "Tokens", "kind_of"]


def kind_of(parts: Components) -> Kind:
    """How the loaded model is to be run."""
    return _kind(parts.model.family.kind)


@lru_cache
def _kind(name: str) -> Kind:
    module, _, cls = KINDS[name].partition(":")
    kind: Kind = getattr(import_module(module), cls)()
    return kind
