"""Recipe to form and back, and what the form says about the chosen model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ModelError, RecipeError
from workbench.models.catalog import Model
from workbench.models.families import FAMILIES
from workbench.models.fingerprint import FileHashes
from workbench.models.inputs import Inputs
from workbench.panels.banner import Banner
from workbench.panels.forms import RecipeForm
from workbench.recipe import Adapter, Recipe
from workbench.recipe.conditions import Reference


class Shelf:
    """Two models of one family, base and distilled, as the catalog describes them; no weights are read."""

    def __init__(self) -> None:
        self._models = {name: _model(name, name == "klein-nano") for name in ("klein-nano-base", "klein-nano")}

    def models(self) -> list[Model]:
        return list(self._models.values())

    def model(self, name: str) -> Model:
        if name not in self._models:
            raise ModelError(f"There is no model {name!r}.", "Choose another.")
        return self._models[name]

    def adapters(self) -> list[str]:
        return ["stars", "stripes"]

    @property
    def inputs(self) -> Inputs:
        return Inputs(Path("nowhere"))


def _model(name: str, distilled: bool) -> Model:
    family = FAMILIES["flux2-klein-nano"]
    return Model(
        name, Path(), family, distilled, "float32", revision="", repository="", parameters=1, weight_bytes=1,
        max_sequence_length=48, _files=(), _hashes=FileHashes(Path()),
    )  # fmt: skip


@pytest.fixture
def form() -> RecipeForm:
    return RecipeForm(Shelf())


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
adapters = st.builds(Adapter, name=texts.filter(bool), weight=st.floats(-10, 10))
names = st.sampled_from(["a.png", "folder/b.png", "c" * 64])  # of no file: a form holds what is typed
recipes = st.builds(
    Recipe,
    model=st.sampled_from(["klein-nano-base", "klein-nano"]),
    prompt=texts,
    negative_prompt=texts,
    seed=st.integers(0, 2**63 - 1),
    width=st.none() | st.integers(16, 4096),
    height=st.none() | st.integers(16, 4096),
    steps=st.none() | st.integers(1, 1000),
    guidance_scale=st.none() | st.floats(0, 100),
    max_sequence_length=st.none() | st.integers(8, 4096),
    precision=st.sampled_from([None, "float32", "bfloat16"]),
    adapters=st.lists(adapters, max_size=2).map(tuple),
    references=st.lists(
        st.builds(Reference, picture=names, size=st.sampled_from(["fit", "exact", "64x96"])), max_size=2
    ).map(tuple),
    shift=st.none() | st.floats(0.01, 100),
    sigmas=st.none()
    | st.sets(st.floats(1e-6, 1), min_size=1, max_size=5).map(lambda levels: tuple(sorted(levels))[::-1]),
    image=st.none() | names,
    strength=st.none() | st.floats(0, 1),
    mask=st.none() | names,
    margins=st.none() | st.tuples(*[st.integers(0, 8192)] * 4),
)

SHARED = RecipeForm(Shelf())


@given(recipes)
def test_round_trip(recipe: Recipe) -> None:
    SHARED.recipe = recipe
    assert SHARED.recipe == recipe


def test_every_field_of_a_recipe_is_on_the_form(form: RecipeForm) -> None:
    shown = {*form.controls, "model", "adapters", *form.pictures.value}
    assert shown == set(Recipe.model_fields) - {"task"}  # which the other fields tell


def test_tooltips_say_unit_and_range(form: RecipeForm) -> None:
    for name, control in form.controls.items():
        assert control.widget.tooltip.endswith(Recipe.model_fields[name].description or "?")


def test_an_empty_box_means_the_models_default_and_shows_it(form: RecipeForm) -> None:
    assert form.recipe == Recipe()
    family = FAMILIES["flux2-klein-nano"]
    assert form.controls["width"].widget.placeholder == str(family.width)
    assert form.controls["steps"].widget.placeholder == str(family.steps)
    form.model.value = "klein-nano"
    assert form.controls["steps"].widget.placeholder == str(family.distilled_steps)
    choice = form.controls["precision"]
    assert (choice.widget.label, choice.value) == ("default", None)  # an empty label would be an empty box
    choice.value = "bfloat16"
    choice.value = None
    assert (choice.widget.label, choice.value) == ("default", None)


def test_what_cannot_act_is_disabled_and_says_why(form: RecipeForm) -> None:
    guidance, negative = form.controls["guidance_scale"].widget, form.controls["negative_prompt"].widget
    assert not guidance.disabled
    assert not negative.disabled
    guidance.value = "1"
    assert negative.disabled
    assert "above 1" in negative.tooltip
    guidance.value = "3.5"
    assert not negative.disabled
    form.model.value = "klein-nano"
    assert guidance.disabled
    assert negative.disabled
    assert "step-distilled" in guidance.tooltip


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("steps", "0", "steps"),
        ("steps", "many", "'many' is not a whole number"),
        ("steps", "2.5", "not a whole number"),
        ("guidance_scale", "nan", "guidance_scale"),
        ("guidance_scale", "strong", "'strong' is not a number"),
        ("seed", "", "'' is not a whole number"),
        ("seed", "-1", "seed"),
        ("seed", str(2**63), "seed"),
        ("width", "8", "width"),
        ("prompt", "a\x00b", "character"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(form: RecipeForm, field: str, text: str, words: str) -> None:
    form.controls[field].widget.value = text
    with pytest.raises(RecipeError) as caught:
        _ = form.recipe
    assert words in str(caught.value)
    assert "\n" not in caught.value.message


def test_the_dice_and_the_swap(form: RecipeForm) -> None:
    form.recipe = Recipe(width=128, height=192)
    form.swap.click()
    assert (form.recipe.width, form.recipe.height) == (192, 128)
    seeds = set()
    for _ in range(3):
        form.dice.click()
        seeds.add(form.recipe.seed)
    assert len(seeds) == 3


def test_adapters_are_added_and_removed(form: RecipeForm) -> None:
    form.adapters.add.click()
    assert not form.recipe.adapters  # a row without a name is nothing yet
    name, weight, remove = form.adapters.rows[0].children
    assert name.options == ("stars", "stripes")
    name.value, weight.value = "stars", "0.5"
    assert form.recipe.adapters == (Adapter(name="stars", weight=0.5),)
    weight.value = "11"
    with pytest.raises(RecipeError, match="'stars' cannot be '11'"):
        _ = form.recipe
    remove.click()
    assert not form.recipe.adapters


def test_listeners_hear_every_change_and_their_errors_are_shown() -> None:
    banner = Banner()
    form = RecipeForm(Shelf(), banner=banner)
    heard = []

    def listen() -> None:
        heard.append(form.recipe.prompt)

    form.on_change(listen)
    form.controls["prompt"].widget.value = "a red circle"
    form.recipe = Recipe(prompt="a blue star", steps=3)
    assert heard == ["a red circle", "a blue star"]  # a whole recipe is one change
    form.controls["steps"].widget.value = "x"
    assert "'x' is not a whole number" in banner.text


def test_a_recipe_of_a_missing_model_is_shown_with_a_banner() -> None:
    banner = Banner()
    form = RecipeForm(Shelf(), banner=banner)
    form.recipe = Recipe(model="gone", prompt="a star")
    assert form.recipe.model == "gone"
    assert "no model 'gone'" in banner.text
