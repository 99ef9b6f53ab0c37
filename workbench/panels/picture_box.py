"""A box for one picture: typed as a path, uploaded, or filled from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets as widgets

from workbench.errors import InputError
from workbench.models.inputs import FORMATS, Inputs
from workbench.panels.banner import Banner
from workbench.panels.pixels import encode, thumbnail

ACCEPT = ",".join(f".{name.lower()}" for name in (*FORMATS, "jpg", "tif"))


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
