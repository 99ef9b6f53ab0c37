"""The strip of earlier pictures: what the store kept, and what this session made; a click brings a recipe back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import traitlets
from PIL import Image

from workbench.panels.banner import Banner
from workbench.panels.pixels import HERE, PixelWidget, javascript, thumbnail
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.store import Store

LENGTH = 60  # pictures in the strip


class HistoryStrip(PixelWidget):
    """Thumbnails, newest first.

    Args:
        store: where pictures of earlier sessions are.
        opened: called with the digest and the recipe of a clicked picture.
        banner: shows what goes wrong.
    """

    _esm = javascript("strip.js")
    _css = HERE / "panels.css"
    items = traitlets.List(traitlets.Dict()).tag(sync=True)  # [{id: digest, title}], newest first
    current = traitlets.Unicode("").tag(sync=True)  # digest of the marked picture

    def __init__(self, store: Store, opened: Callable[[str, Recipe], None], banner: Banner) -> None:
        self._store, self._opened = store, opened
        self._recipes: dict[str, Recipe] = {}
        self._thumbs: dict[str, Image.Image] = {}  # of this session, as the store may not have written them yet
        super().__init__(self._picture, banner)
        for stored in store.recent(LENGTH):
            self._recipes[stored.digest] = stored.recipe
        self.items = [_item(digest, recipe) for digest, recipe in self._recipes.items()]

    def add(self, digest: str, recipe: Recipe, picture: Image.Image) -> None:
        """Put a finished picture first and mark it. One that is in the strip already moves to the front."""
        self._recipes[digest] = recipe
        self._thumbs[digest] = thumbnail(picture)
        others = [item for item in self.items if item["id"] != digest][: LENGTH - 1]
        with self.hold_sync():
            self.items = [_item(digest, recipe), *others]
            self.current = digest
        kept = {item["id"] for item in self.items}
        self._recipes = {name: value for name, value in self._recipes.items() if name in kept}
        self._thumbs = {name: value for name, value in self._thumbs.items() if name in kept}

    def received(self, content: dict[str, Any]) -> None:
        """A click on a picture."""
        digest = str(content.get("id"))
        if content.get("type") == "open" and digest in self._recipes:
            self.current = digest
            self._opened(digest, self._recipes[digest])
        else:
            super().received(content)

    def _picture(self, digest: str) -> Image.Image | None:
        if digest in self._thumbs:
            return self._thumbs[digest]
        stored = self._store.get(digest)
        return stored.open() if stored else None


def _item(digest: str, recipe: Recipe) -> dict[str, str]:
    prompt = recipe.prompt or "(no prompt)"
    return {"id": digest, "title": f"{prompt} · seed {recipe.seed} · {recipe.model}"}
