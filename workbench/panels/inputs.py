"""What a recipe gives besides text: references, an image with its strength, a mask, margins.

A picture is typed as a path, uploaded, or taken from the history; what is uploaded is kept among the inputs, and the
box then holds its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets as widgets

from workbench.conditions import Reference
from workbench.errors import InputError
from workbench.models.inputs import FORMATS, Inputs
from workbench.panels.banner import Banner
from workbench.panels.fields import Control
from workbench.panels.mask import MaskBrush
from workbench.panels.pixels import encode, thumbnail
from workbench.recipe import Recipe

ACCEPT = ",".join(f".{name.lower()}" for name in (*FORMATS, "jpg", "tif"))
FIELDS = ("references", "image", "strength", "mask", "margins")


class PictureBox(widgets.HBox):
    """One picture: thumbnail, path or digest, upload.

    Args:
        label: what stands beside the box.
        inputs: keeps what is uploaded.
        changed: called after every change.
        banner: shows what goes wrong.
        mask: whether it is a mask.
    """

    def __init__(
        self, label: str, inputs: Inputs, changed: Callable[[], None], banner: Banner, *, mask: bool = False
    ) -> None:
        self._inputs, self._mask, self._changed = inputs, mask, changed
        self.thumb = widgets.Image(layout=widgets.Layout(display="none")).add_class("wb-input-thumb")
        self.name = widgets.Text(
            description=label,
            placeholder="path, or upload",
            continuous_update=False,
            layout=widgets.Layout(width="auto"),
        )
        self.upload = widgets.FileUpload(accept=ACCEPT, description="", icon="upload", tooltip="Upload a picture")
        self.upload.observe(banner.guarded(lambda change: self._uploaded(change["new"])), "value")
        self.name.observe(banner.guarded(lambda _: self._renamed()), "value")
        super().__init__([self.thumb, self.name, self.upload])
        self.add_class("wb-input-box")

    @property
    def value(self) -> str | None:
        """Path or digest; None when the box is empty."""
        return self.name.value.strip() or None

    @value.setter
    def value(self, value: str | None) -> None:
        self.name.value = value or ""

    def _uploaded(self, files: Iterable[dict[str, Any]]) -> None:
        contents = [bytes(file["content"]) for file in files]
        if not contents:
            return
        self.upload.value = ()  # a notebook that saves its widgets would save the file
        self.value = self._inputs.add(contents[0], mask=self._mask).digest

    def _renamed(self) -> None:
        self.thumb.layout.display = "none"
        if self.value is not None:
            try:
                small = thumbnail(self._inputs.open(self._inputs.find(self.value, mask=self._mask).digest), 72)
            except InputError:
                pass  # a name half typed; running the recipe says what is wrong with it
            else:
                self.thumb.format, self.thumb.value = encode(small)
                self.thumb.layout.display = ""
        self._changed()


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
        self.add_button.on_click(banner.guarded(lambda _: self.add_reference("")))
        self.paint_button.observe(banner.guarded(lambda _: self._paint()), "value")
        for box in (self.strength.widget, self.margins):
            box.observe(lambda _: changed(), "value")
        super().__init__([
            self.references, widgets.HBox([self.add_button, self.paint_button]).add_class("wb-actions"),
            self.image, self.strength.widget, self.mask, self._easel, self.margins,
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
        }

    def show(self, recipe: Recipe) -> None:
        """Show what `recipe` holds."""
        self.references.children = tuple(self._row(reference) for reference in recipe.references)
        self.image.value, self.mask.value = recipe.image, recipe.mask
        self.strength.value = recipe.strength
        self.margins.value = ",".join(str(pixels) for pixels in recipe.margins or ())

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
