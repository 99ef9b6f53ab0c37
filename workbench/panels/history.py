"""The strip of earlier pictures: what the store kept, and what this session made; a click brings a recipe back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import traitlets
from PIL import Image

from workbench.panels.banner import Banner
from workbench.panels.pixels import HERE, PixelWidget, javascript
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
    nothing = traitlets.Unicode("Pictures you make appear here.").tag(sync=True)

    def __init__(self, store: Store, opened: Callable[[str, Recipe], None], banner: Banner) -> None:
        self._store, self._opened = store, opened
        self._recipes: dict[str, Recipe] = {}  # of what is in the strip; as typed where it was made here
        self._typed: dict[str, Recipe] = {}
        super().__init__(self._picture, banner)
        self.refresh()

    def refresh(self) -> None:
        """Show what the store holds now, whoever made it."""
        self._recipes = {stored.digest: stored.recipe for stored in self._store.recent(LENGTH)}
        self._recipes |= {digest: recipe for digest, recipe in self._typed.items() if digest in self._recipes}
        self.items = [_item(digest, recipe) for digest, recipe in self._recipes.items()]

    def mark(self, digest: str, recipe: Recipe) -> None:
        """Mark a picture that was made here from `recipe`."""
        self._typed[digest] = recipe
        with self.hold_sync():
            self.refresh()
            self.current = digest

    def received(self, content: dict[str, Any]) -> None:
        """A click on a picture."""
        digest = str(content.get("id"))
        if content.get("type") == "open" and digest in self._recipes:
            self.current = digest
            self._opened(digest, self._recipes[digest])
        else:
            super().received(content)

    def _picture(self, digest: str) -> Image.Image | None:
        stored = self._store.get(digest)
        return stored.open() if stored else None


def _item(digest: str, recipe: Recipe) -> dict[str, str]:
    prompt = recipe.prompt or "(no prompt)"
    return {"id": digest, "title": f"{prompt} · seed {recipe.seed} · {recipe.model}"}
