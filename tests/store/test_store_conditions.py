"""Pictures as conditions in the store's words and numbers."""

from __future__ import annotations

import pytest

from workbench.recipe import Recipe
from workbench.recipe.conditions import Reference
from workbench.store import work_units
from workbench.store.png import in_words

FULL = Recipe(prompt="x", width=64, height=64, steps=10, guidance_scale=1.0)


def test_work_counts_references_and_leaves_out_skipped_steps() -> None:
    one = work_units(FULL)
    seen = FULL.replace(
        references=[Reference(picture="a" * 64, size="128x64"), Reference(picture="b" * 64, size="64x64")]
    )
    assert work_units(seen) == pytest.approx(4 * one)
    begun = FULL.replace(image="a" * 64, strength=0.3)
    assert work_units(begun) == pytest.approx(0.3 * one)
    assert work_units(begun.replace(strength=0)) == 0


def test_words_name_what_was_given() -> None:
    recipe = FULL.replace(
        references=[Reference(picture="a" * 64, size="128x64")], image="b" * 64, strength=0.0, mask="c" * 64,
        margins=(0, 0, 64, 0),
    )  # fmt: skip
    words = in_words(recipe.model_dump(mode="json"))
    for part in (
        f"References: {'a' * 12} at 128x64",
        f"Image: {'b' * 12}",
        "Denoising strength: 0.0",
        "Margins: 0 0 64 0",
    ):
        assert part in words
    plain = in_words(FULL.model_dump(mode="json"))
    assert not any(word in plain for word in ("References", "Image", "strength", "Mask", "Margins"))
