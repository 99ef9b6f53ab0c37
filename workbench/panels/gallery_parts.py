"""What the gallery panel shows: the wall of thumbnails, the comparison, and a button that copies a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import traitlets

from workbench.comparison.names import names
from workbench.comparison.page import constants, stylesheet
from workbench.comparison.page import javascript as compare_javascript
from workbench.errors import StoreError
from workbench.panels.banner import Banner
from workbench.panels.pixels import HERE, PixelWidget, javascript
from workbench.store.entries import Entry
from workbench.store.gallery import Gallery


class GalleryWall(PixelWidget):
    """A page of thumbnails, sent as the files that the store keeps.

    Args:
        gallery: where they are.
        opened: called with the digest of a clicked picture.
        banner: shows what goes wrong.
    """

    _esm = javascript("gallery_grid.js")
    _css = HERE / "gallery.css"
    items = traitlets.List(traitlets.Dict()).tag(sync=True)  # [{id: digest, title, starred}]
    chosen = traitlets.List(traitlets.Unicode()).tag(sync=True)  # digests that are ticked, in that order
    current = traitlets.Unicode("").tag(sync=True)  # digest of the open picture
    nothing = traitlets.Unicode("Nothing found.").tag(sync=True)  # said instead of an empty wall

    def __init__(self, gallery: Gallery, opened: Callable[[str], None], banner: Banner) -> None:
        self._gallery, self._opened = gallery, opened
        super().__init__(lambda _: None, banner)

    def show(self, entries: Sequence[Entry]) -> None:
        """Show a page; what was ticked on another page is ticked no more."""
        there = {entry.digest for entry in entries}
        with self.hold_sync():
            self.items = [{"id": each.digest, "title": each.title, "starred": each.starred} for each in entries]
            self.chosen = [digest for digest in self.chosen if digest in there]
            self.current = self.current if self.current in there else ""

    def received(self, content: dict[str, Any]) -> None:
        """A click on a picture."""
        digest = str(content.get("id"))
        if content.get("type") == "open" and any(item["id"] == digest for item in self.items):
            self.current = digest
            self._opened(digest)
        else:
            super().received(content)

    def _serve(self, identity: str) -> None:
        if not any(item["id"] == identity for item in self.items):
            self.send({"type": "gone", "id": identity})
            return
        try:
            kind, data = self._gallery.thumbnail(identity)
        except StoreError:  # gone or damaged since: an empty tile says it as well as a banner for each would
            self.send({"type": "gone", "id": identity})
            return
        self.send({"type": "pixels", "id": identity, "mime": f"image/{kind}"}, [data])


class CompareView(PixelWidget):
    """Any number of pictures side by side, under a slider, as differences, or blinking.

    Args:
        gallery: where they are.
        banner: shows what goes wrong.
    """

    _esm = compare_javascript() + javascript("gallery_compare.js")
    _css = stylesheet()
    items = traitlets.List(traitlets.Dict()).tag(sync=True)  # [{id, label, note}]
    view = traitlets.Dict().tag(sync=True)  # {mode, a, b, speed}
    constants = traitlets.Dict(constants()).tag(sync=True)

    def __init__(self, gallery: Gallery, banner: Banner) -> None:
        self._gallery = gallery
        super().__init__(lambda _: None, banner)

    def show(self, entries: Sequence[Entry]) -> None:
        """Compare these, in their order."""
        with self.hold_sync():
            self.view = self.view | {"a": 0, "b": min(1, max(0, len(entries) - 1))}
            self.items = [
                {"id": each.digest, "label": name, "note": ", ".join(_scores(each))}
                for each, name in zip(entries, names([each.recipe for each in entries]), strict=True)
            ]

    def _serve(self, identity: str) -> None:
        """The file itself: maps of differences need every level, and nothing is encoded again."""
        if any(item["id"] == identity for item in self.items):
            data = self._gallery.show_all([identity])[0].path.read_bytes()
            self.send({"type": "pixels", "id": identity, "mime": "image/png"}, [data])
        else:
            self.send({"type": "gone", "id": identity})


class CopyButton(anywidget.AnyWidget):
    """Copies `text` to the clipboard when it is pressed."""

    _esm = HERE / "copy.js"
    text = traitlets.Unicode("").tag(sync=True)
    label = traitlets.Unicode("Copy").tag(sync=True)


def _scores(entry: Entry) -> list[str]:
    return [f"{name} {value:.3g}" for name, value in entry.scores.items()]
