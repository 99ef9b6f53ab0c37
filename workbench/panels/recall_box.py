"""A picture file gives its settings to the form: upload it, and its recipe is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.metadata import recall
from workbench.panels.banner import Banner
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.models.catalog import ModelCatalog

MAX_LINES = 6  # of what was left out; a banner is no report


class RecallBox(widgets.FileUpload):
    """A button that reads how a picture was made: by the workbench or by another tool.

    Args:
        catalog: models and adapters that are here.
        show: is given the recipe.
        banner: says what could not be carried over.
    """

    def __init__(self, catalog: ModelCatalog, show: Callable[[Recipe], None], banner: Banner) -> None:
        super().__init__(accept=".png,.jpg,.jpeg,.webp", description="Recall", icon="history")
        self._catalog, self._show, self._banner = catalog, show, banner
        self.tooltip = "Take the settings of a picture file: ours, InvokeAI's, AUTOMATIC1111's or ComfyUI's."
        self.observe(banner.guarded(lambda change: self._uploaded(change["new"])), "value")
        self.add_class("wb-recall")

    def _uploaded(self, files: Any) -> None:
        contents = [bytes(file["content"]) for file in files]
        if not contents:
            return
        self.value = ()  # a notebook that saves its widgets would save the file
        found = recall(contents[0], catalog=self._catalog)
        self._show(found.recipe)
        self._banner.clear()
        lines = [f"{part.name}: {part.reason}" for part in found.left_out]
        if len(lines) > MAX_LINES:
            lines = [*lines[:MAX_LINES], f"and {len(lines) - MAX_LINES} more; `workbench recall` lists all"]
        if lines or found.notes:
            said = "; ".join(lines) + "." if lines else " ".join(found.notes)
            self._banner.show(f"Read from {found.source}, but not all of it.", said, level="warning")
