"""docs/models.md and the remedies of refusals against the family table."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from workbench.conditions import ABLE, Task
from workbench.controls import DEPTH, REDUX
from workbench.models import FAMILIES
from workbench.models.describe import tables

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_page_shows_the_table_of_families() -> None:
    assert tables() in PAGE.read_text(encoding="utf-8"), "run python scripts/models_page.py"


def test_the_page_names_the_companions() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert REDUX in text
    assert DEPTH in text


def test_remedies_name_families_that_can() -> None:
    for task in get_args(Task):
        assert task in FAMILIES[ABLE.get(task, "flux2-klein")].tasks


def test_partners_are_rows_that_point_back() -> None:
    """Of the same family, or of one with the same architecture."""
    known = {name: (family, own) for family in FAMILIES.values() for name, own in family.checkpoints.items()}
    for name, (family, checkpoint) in known.items():
        if checkpoint.partner:
            sibling, other = known[checkpoint.partner]
            assert (other.partner, other.distilled) == (name, not checkpoint.distilled)
            assert sibling.kind == family.kind
