"""Fields of FLUX.1 on the form: they appear with the models that take them."""

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

FAMILY_NAMES = ("flux2-klein", "flux1-dev", "flux1-schnell", "flux1-kontext", "flux1-fill", "flux1-control", "sdxl")


class Shelf:
    """One model of each family, named like it; no weights are read."""

    def __init__(self, home: Path) -> None:
        self.inputs = Inputs(home)
        self._models = {name: _model(name) for name in FAMILY_NAMES}

    def models(self) -> list[Model]:
        return list(self._models.values())

    def model(self, name: str) -> Model:
        return self._models[name]

    def adapters(self) -> list[str]:
        return []


def _model(name: str) -> Model:
    family = FAMILIES[name]
    return Model(
        name, Path(name), family, bool(family.distilled), "float32", revision="", repository="", parameters=1,
        weight_bytes=1, max_sequence_length=family.max_sequence_length, _files=(), _hashes=FileHashes(Path(name)),
    )  # fmt: skip


@pytest.fixture
def form(tmp_path: Path) -> RecipeForm:
    return RecipeForm(Shelf(tmp_path), Recipe(model="flux2-klein"))


def seen(form: RecipeForm) -> set[str]:
    fields = form.pictures
    widgets = {
        "references": fields.add_button, "image": fields.image, "mask": fields.mask, "margins": fields.margins,
        "control": fields.variations.control, "redux": fields.variations.add_button,
        "true_cfg_scale": form.controls["true_cfg_scale"].widget,
    }  # fmt: skip
    return {name for name, widget in widgets.items() if widget.layout.display != "none"}


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("flux2-klein", {"references", "image", "mask", "margins"}),
        ("flux1-dev", {"image", "mask", "margins", "control", "redux", "true_cfg_scale"}),
        ("flux1-schnell", {"image", "mask", "margins", "redux", "true_cfg_scale"}),
        ("flux1-kontext", {"references", "image", "mask", "margins", "true_cfg_scale"}),
        ("flux1-fill", {"image", "mask", "margins"}),
        ("flux1-control", {"image", "mask", "margins", "control"}),
        ("sdxl", {"image"}),
    ],
)
def test_fields_appear_by_family(form: RecipeForm, model: str, names: set[str]) -> None:
    form.model.value = model
    assert seen(form) == names


def test_what_is_filled_in_stays_in_sight(form: RecipeForm) -> None:
    form.model.value = "flux1-dev"
    form.pictures.variations.control.value = "house.png"
    form.controls["true_cfg_scale"].widget.value = "2"
    form.model.value = "flux2-klein"
    assert {"control", "true_cfg_scale"} <= seen(form)


def test_the_negative_prompt_follows_the_second_pass(form: RecipeForm) -> None:
    form.model.value = "flux1-dev"
    negative = form.controls["negative_prompt"].widget
    assert negative.disabled
    assert "true CFG" in negative.tooltip
    form.controls["true_cfg_scale"].widget.value = "2"
    assert not negative.disabled
    form.model.value = "flux1-fill"
    assert negative.disabled


def test_recipes_go_in_and_out_whole(form: RecipeForm) -> None:
    recipe = Recipe(
        model="flux1-dev", prompt="a", control="house.png", control_type="canny", true_cfg_scale=2.5,
        redux=[{"picture": "a.png", "weight": 0.25}, {"picture": "b.png"}],
    )  # fmt: skip
    form.recipe = recipe
    assert form.recipe == recipe
    form.recipe = Recipe(model="flux1-dev")
    assert form.recipe == Recipe(model="flux1-dev")


def test_redux_rows_come_and_go(form: RecipeForm) -> None:
    form.model.value = "flux1-dev"
    fields = form.pictures.variations
    fields.add_button.click()
    assert not form.recipe.redux  # an empty row is no picture
    box, weight, remove = fields.redux.children[0].children
    box.value, weight.value = "a.png", "0.5"
    assert [(each.picture, each.weight) for each in form.recipe.redux] == [("a.png", 0.5)]
    weight.value = "much"
    with pytest.raises(RecipeError, match="'much' is not a number"):
        _ = form.recipe
    remove.click()
    assert not form.recipe.redux


def test_limits_shown_are_the_families(form: RecipeForm) -> None:
    form.model.value = "flux1-schnell"
    assert form.controls["guidance_scale"].widget.disabled
    assert form.controls["steps"].widget.placeholder == str(replace(FAMILIES["flux1-schnell"]).distilled_steps)
