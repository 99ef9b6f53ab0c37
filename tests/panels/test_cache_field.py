"""The form's fields for caches and the prompt upsampler: shown where they act, empty is none, modes read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from workbench.errors import RecipeError
from workbench.models.catalog import Model
from workbench.models.families import FAMILIES
from workbench.models.fingerprint import FileHashes
from workbench.models.inputs import Inputs
from workbench.panels.forms import RecipeForm
from workbench.recipe import Recipe


class Shelf:
    """One model of each of three families."""

    def models(self) -> list[Model]:
        klein = Model(
            "klein",
            Path(),
            FAMILIES["flux2-klein"],
            False,
            "float32",
            revision="",
            repository="",
            parameters=1,
            weight_bytes=1,
            max_sequence_length=48,
            _files=(),
            _hashes=FileHashes(Path()),
        )
        return [klein, *(replace(klein, name=name, family=FAMILIES[name]) for name in ("flux1-dev", "flux3-klein"))]

    def model(self, name: str) -> Model:
        return next(model for model in self.models() if model.name == name)

    def adapters(self) -> list[str]:
        return []

    @property
    def inputs(self) -> Inputs:
        return Inputs(Path("nowhere"))


def test_fields_are_shown_where_they_act() -> None:
    form = RecipeForm(Shelf(), Recipe(model="klein"))
    cache, upsampler = (form.controls[name].widget for name in ("cache", "prompt_upsampler"))
    assert (cache.layout.display, upsampler.layout.display) == ("", "none")
    assert list(cache.options) == ["taylorseer", "magcache"]
    form.model.value = "flux1-dev"
    assert list(cache.options) == ["taylorseer", "magcache", "first_block"]
    form.model.value = "flux3-klein"
    assert (cache.layout.display, upsampler.layout.display) == ("none", "")
    assert "flux-3-image-klein-pup" in upsampler.placeholder


def test_empty_is_none_and_modes_read_back() -> None:
    form = RecipeForm(Shelf(), Recipe(model="klein"))
    assert (form.recipe.cache, form.recipe.prompt_upsampler) == (None, None)
    form.controls["cache"].widget.value = "taylorseer:interval=3"
    assert form.recipe.cache == "taylorseer:interval=3"
    given = Recipe(model="flux3-klein", prompt="a fox", prompt_upsampler="flux-3-image-klein-pup")
    form.recipe = given
    assert form.recipe == given
    form.controls["cache"].widget.value = "teacache"
    with pytest.raises(RecipeError, match="teacache"):
        _ = form.recipe
