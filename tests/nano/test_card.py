"""The model card speaks of the weights that ship."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench.models.catalog import ModelCatalog

CARD = Path(__file__).parents[2] / "workbench" / "nano" / "MODEL_CARD.md"


@pytest.mark.parametrize("name", ["klein-nano-base", "klein-nano"])
def test_the_figures_are_of_the_weights_that_ship(name: str, tmp_path: Path) -> None:
    shown = re.search(rf"{name} `([0-9a-f]{{12}})`", CARD.read_text(encoding="utf-8"))

    assert shown is not None
    assert ModelCatalog(tmp_path).model(name).fingerprint.startswith(shown[1])
