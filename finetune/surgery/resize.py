"""A smaller adapter with as much of the change as its rank can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from finetune.formats.load import AdapterFile
from finetune.surgery.lowrank import Cut, Kept, cut_matrix, cut_product
from workbench.models.dialects.changes import Kronecker, LowRank


@dataclass(frozen=True, slots=True)
class Resized:
    """Changes of lower rank.

    Attributes:
        changes: by module.
        kept: share of the energy that each keeps, 0 to 1.
        energy: share over all modules.
    """

    changes: Mapping[str, LowRank]
    kept: Mapping[str, float]
    energy: float

    @property
    def worst(self) -> tuple[str, float]:
        """The module that loses most, and its share."""
        return min(self.kept.items(), key=lambda pair: pair[1])


def resize(adapter: AdapterFile, cut: Cut) -> Resized:
    """Reduce every change of `adapter`, of any kind but DoRA, to `cut`.

    Raises:
        SurgeryError: a DoRA.
    """
    found = {}
    for module, change in adapter.changes.items():
        product = change.low_rank() if isinstance(change, Kronecker) else change
        if isinstance(product, LowRank):
            found[module] = cut_product(product, cut)
        else:
            found[module] = cut_matrix(change.delta(torch.zeros(change.shape)), cut)
    return summed(found)


def summed(found: Mapping[str, Kept]) -> Resized:
    """Put the modules' figures together."""
    total = sum(each.total for each in found.values())
    kept = sum(each.energy for each in found.values())
    return Resized(
        {name: each.change for name, each in found.items()},
        {name: each.energy / each.total if each.total > 0 else 1.0 for name, each in found.items()},
        kept / total if total > 0 else 1.0,
    )
