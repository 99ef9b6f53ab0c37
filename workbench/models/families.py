"""The one table of model families: what a family's checkpoints need to be loaded, run, trained and licensed.

Inference, training, panels and documentation read these rows; no constant of a family stands anywhere else. A row
describes an architecture with its text encoding; what differs between checkpoints of a family (width, depth, distilled
or not) is read from the checkpoint's own files by `workbench.models.folders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from workbench.models.family import Checkpoint, Family
from workbench.models.family_rows import flux1, flux2_dev, flux3, klein, stable

__all__ = ["FAMILIES", "Checkpoint", "Family", "published"]

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {row.name: row for row in (*klein.ROWS, *flux1.ROWS, *flux2_dev.ROWS, *flux3.ROWS, *stable.ROWS)}
)
"""Every supported family by name."""


def published(name: str) -> tuple[Family, Checkpoint] | None:
    """The row of a published checkpoint by its name or repository, whatever the case; a revision is ignored."""
    wanted = name.partition("@")[0].lower()
    for family in FAMILIES.values():
        for own, checkpoint in family.checkpoints.items():
            if wanted in (own.lower(), checkpoint.repository.lower() or own.lower()):
                return family, checkpoint
    return None
