"""What a recipe gives besides text: references, an image with its strength, a mask, margins.

A picture is typed as a path, uploaded, or taken from the history; what is uploaded is kept among the inputs, and the
box then holds its digest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.errors import InputError
from workbench.models.inputs import Inputs
from workbench.models.model import Model
from workbench.panels.banner import Banner
from workbench.panels.fields import Control
from workbench.panels.mask import MaskBrush
from workbench.panels.picture_box import PictureBox
from workbench.panels.variations import VariationFields
from workbench.recipe import Recipe
from workbench.recipe.conditions import Reference

FIELDS = ("references", "image", "strength", "mask", "margins", "control", "control_type", "redux")


class PictureFields(widgets.VBox):
    """All fields of a recipe that hold pictures.

    Args:
        inputs: keeps what is uploaded.
        changed: called after every change.
        banner: shows what goes wrong.
    """

    def __init__(self, inputs: Inputs, changed: Callable[[], None], banner: Banner) -> None:
        self._inputs, self._changed, self._banner = inputs, changed, banner
        self.image = PictureBox("image", inputs, changed, banner).add_class("wb-field-image")
        self.mask = PictureBox("mask", inputs, changed, banner, mask=True).add_class("wb-field-mask")
        self.strength = Control("strength")
        self.margins = widgets.Text(description="margins", placeholder="left,top,right,bottom", continuous_update=False)
        self.margins.layout.width = "auto"
        self.margins.add_class("wb-field-margins")
        for name in ("image", "mask"):
            getattr(self, name).name.tooltip = Recipe.model_fields[name].description
        self.margins.tooltip = Recipe.model_fields["margins"].description
        self.references = widgets.VBox().add_class("wb-references")
        self.add_button = widgets.Button(description="Add reference", icon="plus").add_class("wb-add-reference")
        self.add_button.tooltip = Recipe.model_fields["references"].description
        self.paint_button = widgets.ToggleButton(description="Paint mask", icon="paint-brush")
        self.paint_button.tooltip = "Paint on the image where it is to be drawn anew."
        self.paint_button.add_class("wb-paint-mask")
        self.brush: MaskBrush | None = None
        self._easel = widgets.VBox()
        self.variations = VariationFields(inputs, changed, banner)
        self.add_button.on_click(banner.guarded(lambda _: self.add_reference("")))
        self.paint_button.observe(banner.guarded(lambda _: self._paint()), "value")
        for box in (self.strength.widget, self.margins):
            box.observe(lambda _: changed(), "value")
        super().__init__([
            self.references, widgets.HBox([self.add_button, self.paint_button]).add_class("wb-actions"),
            self.image, self.strength.widget, self.mask, self._easel, self.margins, self.variations,
        ])  # fmt: skip
        self.add_class("wb-inputs")

    @property
    def value(self) -> dict[str, Any]:
        """Recipe fields as typed.

        Raises:
            RecipeError: the strength is no number.
        """
        rows = [row for row in self.references.children if row.children[0].value is not None]
        return {
            "references": tuple(
                {"picture": row.children[0].value, "size": row.children[1].value.strip() or "fit"} for row in rows
            ),
            "image": self.image.value,
            "strength": self.strength.value,
            "mask": self.mask.value,
            "margins": self.margins.value.strip() or None,
            **self.variations.value,
        }

    @property
    def given(self) -> int:
        """How many pictures are filled in."""
        rows = (*self.references.children, *self.variations.redux.children)
        boxes = (self.image, self.mask, self.variations.control, *(row.children[0] for row in rows))
        return sum(box.value is not None for box in boxes)

    def show(self, recipe: Recipe) -> None:
        """Show what `recipe` holds."""
        self.references.children = tuple(self._row(reference) for reference in recipe.references)
        self.image.value, self.mask.value = recipe.image, recipe.mask
        self.strength.value = recipe.strength
        self.margins.value = ",".join(str(pixels) for pixels in recipe.margins or ())
        self.variations.show(recipe)

    def follow(self, model: Model) -> None:
        """Show what the model takes, and whatever is filled in."""
        tasks = set(model.tasks)
        image = bool(tasks & {"image-to-image", "inpaint", "outpaint"}) or self.image.value is not None
        mask = bool(tasks & {"inpaint", "outpaint"}) or self.mask.value is not None
        margins = "outpaint" in tasks or bool(self.margins.value.strip())
        references = "edit" in tasks or bool(self.references.children)
        for widget, seen in (
            (self.image, image),
            (self.strength.widget, image),
            (self.mask, mask),
            (self.paint_button, mask),
            (self.margins, margins),
            (self.add_button, references),
        ):
            widget.layout.display = "" if seen else "none"
        self.variations.follow(model)

    def add_reference(self, picture: str) -> None:
        """Append a reference; an empty name is a row to fill."""
        self.references.children = (*self.references.children, self._row(None, picture))
        self._changed()

    def start_from(self, picture: str) -> None:
        """Make `picture` the image, without the mask of another."""
        self.mask.value, self.image.value = None, picture
        if self.paint_button.value:  # the brush moves to the new image
            self._paint()

    def _row(self, reference: Reference | None, picture: str = "") -> widgets.HBox:
        box = PictureBox("", self._inputs, self._changed, self._banner)
        box.name.layout.flex, box.layout.flex = "1 1 60px", "1 1 auto"
        box.value = reference.picture if reference else picture
        size = widgets.Combobox(value=reference.size if reference else "fit", options=("fit", "exact"))
        size.add_class("wb-input-size")
        size.layout.width, size.ensure_option = "84px", False
        size.tooltip = Reference.model_fields["size"].description
        size.observe(lambda _: self._changed(), "value")
        remove = widgets.Button(icon="times", tooltip="Remove this reference", layout=widgets.Layout(width="36px"))
        row = widgets.HBox([box, size, remove]).add_class("wb-input-box").add_class("wb-reference")
        remove.on_click(self._banner.guarded(lambda _: self._remove(row)))
        return row

    def _remove(self, row: widgets.HBox) -> None:
        self.references.children = tuple(other for other in self.references.children if other is not row)
        self._changed()

    def _paint(self) -> None:
        """Open or close the brush on the image; what is painted becomes the mask at once."""
        if not self.paint_button.value:
            self._easel.children, self.brush = (), None
            return
        if self.image.value is None:
            self.paint_button.value = False
            raise InputError("There is no image to paint on.", "Type its path, upload it, or take it from the history.")
        picture = self._inputs.open(self._inputs.find(self.image.value).digest)
        self.brush = MaskBrush(picture)
        self.brush.observe(self._banner.guarded(lambda _: self._painted()), ["painted", "softness"])
        self._easel.children = (self.brush,)

    def _painted(self) -> None:
        if self.brush is not None and self.brush.painted:
            self.mask.value = self._inputs.add(self.brush.mask, mask=True).digest
