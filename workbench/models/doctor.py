"""The doctor's section about weights: in which forms they can be kept, and what works with each."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.checks import Check, section
from workbench.models.features import FORMS, USES, matrix
from workbench.settings import Settings


@section("Weights")
def weights(_settings: Settings) -> Iterator[Check]:
    """One line for each form of weights, tried now."""
    cells = matrix()
    for form in FORMS:
        own = [cell for cell in cells if cell.form == form]
        fine = [cell.use for cell in own if cell.works]
        reasons = sorted({cell.reason for cell in own if not cell.works and cell.reason != "as it is"})
        if reasons:
            yield Check(form, "; ".join(reasons), "warning", "`workbench models features` tells more.")
        else:
            yield Check(form, "all works" if len(fine) == len(USES) else ", ".join(fine))
