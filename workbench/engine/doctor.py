"""The doctor's section about approximate caches: which run with which family."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.checks import Check, section
from workbench.recipe.approximate import METHODS
from workbench.settings import Settings


@section("Approximate caches")
def caches(_settings: Settings) -> Iterator[Check]:
    """One line for each mode, tried now; a warning where the families' rows promise another thing."""
    from workbench.engine.cache_features import cache_matrix
    from workbench.models.families import FAMILIES

    cells = cache_matrix()
    for name in METHODS:
        works = [cell.use for cell in cells if cell.form == name and cell.works]
        promised = [family.name for family in FAMILIES.values() if name in family.caches]
        same = works == promised
        remedy = (
            "" if same else f"The rows of the families promise {', '.join(promised)}; use the diffusers pinned here."
        )
        yield Check(name, ", ".join(works) or "none", "ok" if same else "warning", remedy)
