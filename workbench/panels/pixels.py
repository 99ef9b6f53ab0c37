"""Pixels for the browser: encoded once, sent when a view asks for them.

A trait holds what is small and lasting (which pictures there are); pixels travel as binary buffers of custom messages.
A view asks for what has scrolled into sight, and asks again after a reload, so nothing is pushed twice and nothing is
lost. The same protocol serves the history strip and the grid:

    browser: {type: "want", id}
    Python:  {type: "pixels", id, mime} and one buffer, or {type: "gone", id} when there is no such picture
    Python:  {type: "preview", id, mime} and one buffer, unasked, while the picture is being made
"""

from __future__ import annotations

import io
import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
from PIL import Image

from workbench.panels.banner import Banner

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
LOSSLESS = 512 * 512  # pixels; up to here a PNG is encoded in milliseconds, above it JPEG is a hundred times faster
THUMB = 256  # longest side of a thumbnail in pixels
KEEP = 512  # encoded pictures kept in memory: about 20 MB of thumbnails

Source = Callable[[str], Image.Image | None]  # id -> picture


def encode(picture: Image.Image) -> tuple[str, bytes]:
    """`picture` (RGB) for a screen: PNG when small, else JPEG of quality 92 with full colour.

    Returns:
        The format's name ("png" or "jpeg") and the bytes.
    """
    file = io.BytesIO()
    if picture.width * picture.height <= LOSSLESS:
        picture.save(file, "PNG", compress_level=1)
        return "png", file.getvalue()
    picture.convert("RGB").save(file, "JPEG", quality=92, subsampling=0)
    return "jpeg", file.getvalue()


def encode_preview(picture: Image.Image) -> bytes:
    """A passing preview as JPEG: a millisecond and a few kilobytes."""
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=80)
    return file.getvalue()


def thumbnail(picture: Image.Image, side: int = THUMB) -> Image.Image:
    """A copy of `picture` whose longest side is at most `side` pixels."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return small


def javascript(name: str) -> str:
    """A view's ES module: the shared half of the protocol, then the view's own file `name`."""
    return (HERE / "pixels.js").read_text(encoding="utf-8") + (HERE / name).read_text(encoding="utf-8")


class PixelWidget(anywidget.AnyWidget):
    """An anywidget whose view asks for pixels by id.

    A subclass may override `received` for messages of its own.

    Args:
        source: gives the picture of an id, or None when there is none (yet).
        banner: shows what goes wrong while a message is handled.
        traits: initial values.
    """

    _esm = "export default {}"
    side = THUMB  # longest side in pixels of what is sent

    def __init__(self, source: Source, banner: Banner, **traits: Any) -> None:
        super().__init__(**traits)
        self._source = source
        self._encoded: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self.on_msg(banner.guarded(self._on_message))

    def forget(self, identity: str) -> None:
        """Encode the picture `identity` anew when it is asked for again."""
        self._encoded.pop(identity, None)

    def push(self, identity: str, picture: Image.Image) -> None:
        """Send a passing preview of `identity`, kept by nobody."""
        self.send({"type": "preview", "id": identity, "mime": "image/jpeg"}, [encode_preview(picture)])

    def received(self, content: dict[str, Any]) -> None:
        """A message that is not about pixels. Subclasses say what it means."""
        log.warning("unknown message %r", content.get("type"))

    def _on_message(self, _: object, content: dict[str, Any], __: list[bytes]) -> None:
        if content.get("type") == "want":
            self._serve(str(content.get("id")))
        else:
            self.received(content)

    def _serve(self, identity: str) -> None:
        found = self._encoded.get(identity)
        if found is None:
            picture = self._source(identity)
            if picture is None:
                self.send({"type": "gone", "id": identity})
                return
            found = self._encoded[identity] = encode(thumbnail(picture, self.side))
            while len(self._encoded) > KEEP:
                self._encoded.popitem(last=False)
        kind, data = found
        self.send({"type": "pixels", "id": identity, "mime": f"image/{kind}"}, [data])
