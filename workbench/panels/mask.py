"""A brush: paint on a picture where it is to be drawn anew, and get the mask.

    brush = MaskBrush("photo.png")
    brush                      # paint in the notebook
    brush.mask                 # PIL picture, mode L: white = repaint

The painted mask is a small PNG in a trait, so it survives a reload and reaches every view; strokes stay in the browser.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from PIL import Image, ImageFilter

from workbench.models.inputs import read_input
from workbench.panels.pixels import HERE, encode


class MaskBrush(anywidget.AnyWidget):
    """Paint, erase, brush size, softness, undo, invert, clear.

    Args:
        picture: what is painted on, as a path or as a picture.
        mask: what is painted already, of the picture's size: white = repaint.
        traits: `size`, the brush's diameter, and `softness`, the blur of the edge, both in pixels of the picture.

    Raises:
        InputError: the picture or the mask cannot be read.
    """

    _esm = HERE / "mask.js"
    _css = HERE / "panels.css"
    shown = traitlets.Bytes().tag(sync=True)  # the picture, PNG or JPEG
    width = traitlets.Int().tag(sync=True)  # pixels of the picture
    height = traitlets.Int().tag(sync=True)
    size = traitlets.Int(24, min=1, max=512).tag(sync=True)
    softness = traitlets.Int(0, min=0, max=64).tag(sync=True)
    painted = traitlets.CBytes().tag(
        sync=True
    )  # PNG of the hard mask; empty: nothing is painted. The browser's come as
    # a memoryview, which CBytes copies

    def __init__(
        self, picture: Image.Image | str | Path, mask: Image.Image | str | Path | None = None, **traits: Any
    ) -> None:
        super().__init__(**traits)
        self.show(picture, mask)

    def show(self, picture: Image.Image | str | Path, mask: Image.Image | str | Path | None = None) -> None:
        """Paint on another picture; what was painted is gone.

        Raises:
            InputError: the picture or the mask cannot be read.
        """
        seen = picture.convert("RGB") if isinstance(picture, Image.Image) else read_input(Path(picture))
        with self.hold_sync():
            self.width, self.height = seen.size
            self.shown = encode(seen)[1]
            self.painted = b""
            if mask is not None:
                self.mask = mask

    @property
    def mask(self) -> Image.Image:
        """Grey levels of the picture's size (mode L): 255 is drawn anew, 0 stays; soft edges by `softness`."""
        if not self.painted:
            return Image.new("L", (self.width, self.height))
        hard = read_input(self.painted, mask=True)
        if hard.size != (self.width, self.height):  # a view that has not yet heard of the new picture
            return Image.new("L", (self.width, self.height))
        return hard.filter(ImageFilter.GaussianBlur(self.softness)) if self.softness else hard

    @mask.setter
    def mask(self, mask: Image.Image | str | Path) -> None:
        levels = mask.convert("L") if isinstance(mask, Image.Image) else read_input(Path(mask), mask=True)
        if levels.size != (self.width, self.height):
            raise ValueError(f"the mask has {levels.size} pixels, the picture {(self.width, self.height)}")
        file = io.BytesIO()
        levels.save(file, "PNG")
        self.painted = file.getvalue()
