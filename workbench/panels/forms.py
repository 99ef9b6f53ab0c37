"""A form for one recipe: recipe to form and form to recipe, without loss.

The form is a view of `Recipe`: it decides nothing but the order of fields. What cannot act on the chosen model is
disabled, and what is left empty shows the model's own default.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Protocol

import ipywidgets as widgets

from workbench.models.catalog import Model
from workbench.models.inputs import Inputs
from workbench.panels.adapters import AdapterRows
from workbench.panels.banner import Banner
from workbench.panels.fields import Control
from workbench.panels.inputs import PictureFields
from workbench.recipe import Recipe

DICE = 2**32  # thrown seeds are short enough to read out; typed ones may have 63 bits


class Catalog(Protocol):
    """What the form asks of a catalog; `workbench.models.catalog.ModelCatalog` is one."""

    def models(self) -> list[Model]:
        """Every usable model."""
        ...

    def model(self, name: str) -> Model:
        """The model of that name, or ModelError."""
        ...

    def adapters(self) -> list[str]:
        """Names of known adapters."""
        ...

    @property
    def inputs(self) -> Inputs:
        """Where uploaded pictures are kept."""
        ...


class RecipeForm(widgets.VBox):
    """Fields of a recipe as controls.

    Args:
        catalog: names models and adapters, and tells a model's defaults.
        recipe: what the form shows first.
        banner: where errors of the form's own callbacks are shown.
    """

    def __init__(self, catalog: Catalog, recipe: Recipe | None = None, *, banner: Banner | None = None) -> None:
        self._catalog = catalog
        self._banner = banner or Banner()
        self._listeners: list[Callable[[], None]] = []
        self._quiet = False
        self.controls = {
            name: Control(name, label)
            for name, label in [
                ("prompt", ""),
                ("prompt_upsampler", "upsampler"),
                ("negative_prompt", "negative"),
                ("seed", ""),
                ("width", ""),
                ("height", ""),
                ("steps", ""),
                ("guidance_scale", "guidance"),
                ("true_cfg_scale", "true CFG"),
                ("shift", ""),
                ("sigmas", ""),
                ("schedule", ""),
                ("sampler", ""),
                ("max_sequence_length", "text tokens"),
                ("precision", ""),
                ("quantisation", ""),
                ("cache", ""),
                ("regions", ""),
                ("boxes", ""),
                ("decode_tile", ""),
            ]
        }
        self.model = widgets.Dropdown(description="model", layout=widgets.Layout(width="auto"))
        self.model.tooltip = Recipe.model_fields["model"].description
        self.model.add_class("wb-field-model")
        self.adapters = AdapterRows(catalog.adapters(), self._changed)
        self.pictures = PictureFields(catalog.inputs, self._changed, self._banner)
        self.dice = _button("random", "A new random seed", "wb-dice")
        self.swap = _button("exchange", "Swap width and height", "wb-swap")
        self.dice.on_click(self._banner.guarded(lambda _: self._throw()))
        self.swap.on_click(self._banner.guarded(lambda _: self._swap()))
        self._note = widgets.HTML().add_class("wb-note")
        self.more = self._folded()
        super().__init__(self._rows())
        self.add_class("wb-form")
        self.recipe = recipe or Recipe()
        for control in self.controls.values():
            control.widget.observe(self._changed, "value")
        self.model.observe(self._changed, "value")

    def _folded(self) -> widgets.Accordion:
        """What is seldom needed, folded."""
        at = {name: control.widget for name, control in self.controls.items()}
        more = widgets.Accordion(
            [
                self.pictures,
                widgets.VBox(
                    [
                        self.adapters,
                        at["regions"],
                        at["boxes"],
                        at["shift"],
                        at["sigmas"],
                        at["schedule"],
                        at["sampler"],
                        at["max_sequence_length"],
                        at["precision"],
                        at["quantisation"],
                        at["cache"],
                        at["decode_tile"],
                    ]
                ),
            ],
            titles=("Pictures", "More"),
        )
        return more.add_class("wb-more")

    def _rows(self) -> list[widgets.Widget]:
        at = {name: control.widget for name, control in self.controls.items()}
        return [
            self.model,
            at["prompt"],
            at["prompt_upsampler"],
            at["negative_prompt"],
            _row(at["seed"], self.dice),
            _row(at["width"], at["height"], self.swap),
            _row(at["steps"], at["guidance_scale"], at["true_cfg_scale"]),
            self._note,
            self.more,
        ]

    @property
    def recipe(self) -> Recipe:
        """What the form says.

        Raises:
            RecipeError: a field is no number, or out of range.
        """
        values: dict[str, Any] = {name: control.value for name, control in self.controls.items()}
        return Recipe.parse(
            {"model": self.model.value, **values, "adapters": self.adapters.value, **self.pictures.value}
        )

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        self._quiet = True
        try:
            self._show_models(recipe.model)
            for name, control in self.controls.items():
                control.value = getattr(recipe, name)
            self.adapters.value = recipe.adapters
            self.pictures.show(recipe)
        finally:
            self._quiet = False
        self._changed()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change, by a person or by a program."""
        self._listeners.append(listener)

    def _show_models(self, chosen: str) -> None:
        names = [model.name for model in self._catalog.models()]
        if chosen not in names:
            names.append(chosen)  # a path, or a model that is gone: running it says so
        self.model.options = names
        self.model.value = chosen

    def _changed(self, _: object = None) -> None:
        if self._quiet:
            return
        with self._banner.guard():
            self._follow_model()
        with self._banner.guard():
            for listener in self._listeners:
                listener()

    def _follow_model(self) -> None:
        """Placeholders and what acts, by the chosen model."""
        known = [model for model in self._catalog.models() if model.name == self.model.value]
        model = known[0] if known else self._catalog.model(self.model.value)
        at = self.controls
        for name in ("width", "height", "steps", "guidance_scale", "max_sequence_length"):
            at[name].placeholder(f"{getattr(model, name):g}")
        at["guidance_scale"].allow(not model.is_distilled, f"{model.name} is step-distilled: guidance does not act.")
        at["negative_prompt"].allow(self._second_pass(model) > 1, _why_not(model))
        at["sampler"].allow(not model.jumps, f"{model.name} learned the jumps of its steps: only euler fits them.")
        shown = model.true_cfg or bool(at["true_cfg_scale"].widget.value.strip())
        at["true_cfg_scale"].widget.layout.display = "" if shown else "none"
        at["cache"].widget.options = list(model.caches)
        at["prompt_upsampler"].placeholder(f"none; {model.upsampler} writes captions")
        for name, takes in (
            ("regions", model.regions),
            ("boxes", model.boxes),
            ("cache", bool(model.caches)),
            ("prompt_upsampler", bool(model.upsampler)),
        ):
            at[name].widget.layout.display = "" if takes or at[name].widget.value.strip() else "none"
        self.pictures.follow(model)
        given = self.pictures.given
        self.more.titles = (f"Pictures ({given})" if given else "Pictures", "More")  # seen while it is folded
        distilled = "step-distilled, guidance does not act; " if model.is_distilled else ""
        self._note.value = (
            f"{distilled}sides {model.min_side} to {model.max_side} px in steps of {model.size_multiple}, "
            f"{model.max_sequence_length} text tokens"
        )

    def _second_pass(self, model: Model) -> float:
        """The scale of the pass with the negative prompt; 1 or less is none."""
        if model.true_cfg:
            return self._number("true_cfg_scale", 1.0)
        if model.embeds_guidance or model.is_distilled:
            return 1.0
        return self._number("guidance_scale", model.guidance_scale)

    def _number(self, name: str, default: float) -> float:
        text = self.controls[name].widget.value.strip()
        try:
            return float(text) if text else default
        except ValueError:
            return default  # the recipe says what is wrong when it is asked for

    def _throw(self) -> None:
        self.controls["seed"].value = secrets.randbelow(DICE)

    def _swap(self) -> None:
        width, height = self.controls["width"].widget, self.controls["height"].widget
        width.value, height.value = height.value, width.value


def _why_not(model: Model) -> str:
    """Why the negative prompt does not act."""
    if model.embeds_guidance and not model.true_cfg:
        return f"{model.name} has no second pass."
    return f"Acts only where {'true CFG' if model.true_cfg else 'guidance'} is above 1."


def _button(icon: str, tooltip: str, name: str) -> widgets.Button:
    button = widgets.Button(icon=icon, tooltip=tooltip, layout=widgets.Layout(width="36px", flex="0 0 auto"))
    return button.add_class(name)


def _row(*children: widgets.Widget) -> widgets.HBox:
    return widgets.HBox(children).add_class("wb-row")
