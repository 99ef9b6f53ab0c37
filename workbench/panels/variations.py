"""The form's fields for a control picture and for Redux pictures; seen only with models that take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.errors import RecipeError
from workbench.models.inputs import Inputs
from workbench.models.model import Model
from workbench.panels.banner import Banner
from workbench.panels.fields import Control
from workbench.panels.picture_box import PictureBox
from workbench.recipe import Recipe
from workbench.recipe.controls import Variation


class VariationFields(widgets.VBox):
    """Control picture with its type, and rows of Redux pictures with weights.

    Args:
        inputs: keeps what is uploaded.
        changed: called after every change.
        banner: shows what goes wrong.
    """

    def __init__(self, inputs: Inputs, changed: Callable[[], None], banner: Banner) -> None:
        self._inputs, self._changed, self._banner = inputs, changed, banner
        self.control = PictureBox("control", inputs, changed, banner).add_class("wb-field-control")
        self.control.name.tooltip = Recipe.model_fields["control"].description
        self.kind = Control("control_type", "take its")
        self.kind.widget.options = [
            ("choose", ""),
            *((label, value) for label, value in self.kind.widget.options[1:]),
        ]
        self.redux = widgets.VBox().add_class("wb-redux")
        self.add_button = widgets.Button(description="Add Redux picture", icon="plus").add_class("wb-add-redux")
        self.add_button.layout.width = "auto"
        self.add_button.tooltip = Recipe.model_fields["redux"].description
        self.add_button.on_click(banner.guarded(lambda _: self.add("")))
        self.kind.widget.observe(lambda _: changed(), "value")
        super().__init__([self.control, self.kind.widget, self.redux, self.add_button])

    @property
    def value(self) -> dict[str, Any]:
        """Recipe fields as typed.

        Raises:
            RecipeError: a weight is no number.
        """
        rows = [row.children for row in self.redux.children if row.children[0].value is not None]
        return {
            "control": self.control.value,
            "control_type": self.kind.value,
            "redux": tuple({"picture": box.value, "weight": _number(weight.value)} for box, weight, _ in rows),
        }

    def show(self, recipe: Recipe) -> None:
        """Show what `recipe` holds."""
        self.control.value, self.kind.value = recipe.control, recipe.control_type
        self.redux.children = tuple(self._row(each) for each in recipe.redux)

    def follow(self, model: Model) -> None:
        """Show what the model takes, and whatever is filled in."""
        control = "control" in model.tasks or self.control.value is not None or self.kind.value is not None
        redux = "variation" in model.tasks or bool(self.redux.children)
        for widget, seen in ((self.control, control), (self.kind.widget, control), (self.add_button, redux)):
            widget.layout.display = "" if seen else "none"

    def add(self, picture: str) -> None:
        """Append a Redux picture; an empty name is a row to fill."""
        self.redux.children = (*self.redux.children, self._row(None, picture))
        self._changed()

    def _row(self, variation: Variation | None, picture: str = "") -> widgets.HBox:
        box = PictureBox("", self._inputs, self._changed, self._banner)
        box.name.layout.flex, box.layout.flex = "1 1 60px", "1 1 auto"
        box.value = variation.picture if variation else picture
        given = variation.weight if variation else None
        weight = widgets.Text(value="" if given is None else f"{given:g}", placeholder="equal", continuous_update=False)
        weight.layout.width, weight.tooltip = "84px", Variation.model_fields["weight"].description
        weight.add_class("wb-redux-weight")
        weight.observe(lambda _: self._changed(), "value")
        remove = widgets.Button(icon="times", tooltip="Remove this picture", layout=widgets.Layout(width="36px"))
        row = widgets.HBox([box, weight, remove]).add_class("wb-input-box")
        remove.on_click(self._banner.guarded(lambda _: self._remove(row)))
        return row

    def _remove(self, row: widgets.HBox) -> None:
        self.redux.children = tuple(other for other in self.redux.children if other is not row)
        self._changed()


def _number(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise RecipeError(
            f"The weight {text!r} is not a number.", "Write for example 0.5, or leave it empty."
        ) from None
