"""The gallery: a query, a page of thumbnails, marks for what is ticked, one picture in full, several compared."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.panels.base import Panel
from workbench.panels.gallery_detail import GalleryDetail
from workbench.panels.gallery_parts import CompareView, GalleryWall
from workbench.panels.generation import GenerationPanel
from workbench.recipe import Recipe
from workbench.store.errors import QueryError
from workbench.store.files import make_folder
from workbench.store.gallery import PAGE

if TYPE_CHECKING:
    from workbench.session import Session

SORTS = {
    "Newest first": "-created",
    "Oldest first": "created",
    "Most steps": "-steps",
    "Slowest": "-seconds",
    "Largest file": "-bytes",
}
HINT = 'model:klein steps>=8 "red circle" tag:good -star score.clip>0.3 created>7d'


class GalleryPanel(Panel):
    """Everything that was made, found again.

    Args:
        session: pictures and models; None takes the session that all panels without one share.
        query: what to look for first; see docs/gallery.md.
        generation: where "To the generation panel" sends a recipe; None opens one below.
        page: pictures at once.
    """

    def __init__(
        self,
        session: Session | None = None,
        query: str = "",
        *,
        generation: GenerationPanel | None = None,
        page: int = PAGE,
    ) -> None:
        self._first, self.generation, self._page, self._offset, self.total = query, generation, page, 0, 0
        super().__init__(session)
        self.add_class("wb-gallerypanel")

    def build(self) -> list[widgets.Widget]:
        """Query and pages, buttons for what is ticked, the wall, the open picture, the comparison."""
        self.gallery = self.session.gallery
        self.query = widgets.Text(self._first, placeholder=HINT, continuous_update=False).add_class("wb-query")
        self.query.tooltip = (
            "Words of the prompt, field:value, field>=value, -not, or, star; docs/gallery.md has it all."
        )
        self.sort = widgets.Dropdown(options=list(SORTS.items()), layout=widgets.Layout(width="130px"))
        self.sort.add_class("wb-sort")
        self.back = _button("", "chevron-left", "Page before", self._turn(-1), self)
        self.forth = _button("", "chevron-right", "Next page", self._turn(1), self)
        self.again = _button("", "refresh", "Look again", self.refresh, self)
        self.count = widgets.HTML().add_class("wb-count")
        self.pointer = widgets.HTML()
        self.wall = GalleryWall(self.gallery, self._open, self.banner)
        self.detail = GalleryDetail(self.gallery, self.refresh, self._hand_over, self.banner)
        self.comparison = CompareView(self.gallery, self.banner)
        self.comparison.layout.display = "none"
        self._below = widgets.VBox()
        self.query.observe(self.banner.guarded(lambda _: self._ask()), "value")
        self.sort.observe(self.banner.guarded(lambda _: self._ask()), "value")
        top = [self.query, self.sort, self.back, self.forth, self.again, self.count]
        self.refresh()
        bars = [widgets.HBox(top).add_class("wb-gallery-bar"), self._tools()]
        return [*bars, self.pointer, self.banner, self.wall, self.detail, self.comparison, self._below]

    def _tools(self) -> widgets.HBox:
        self.star_button = _button("Star", "star", "Star what is ticked, or take its stars", self._star, self)
        self.name = widgets.Text(placeholder="tag or board").add_class("wb-name")
        self.tag_button = _button("Tag", "tag", "Give what is ticked this tag", self._tag, self)
        self.board_button = _button("To board", "columns", "Put what is ticked on this board", self._board, self)
        self.compare_button = _button("Compare", "exchange", "Compare what is ticked", self.compare, self)
        self.export_button = _button("Export", "download", "Write what is ticked into a zip file", self._export, self)
        self.delete_button = _button("Delete", "trash", "Into the trash; is:trash finds it there", self._delete, self)
        self.restore_button = _button("Restore", "undo", "Out of the trash", self._restore, self)
        self.said = widgets.HTML().add_class("wb-count")
        marks = [self.star_button, self.name, self.tag_button, self.board_button]
        rest = [self.compare_button, self.export_button, self.delete_button, self.restore_button, self.said]
        return widgets.HBox([*marks, *rest]).add_class("wb-gallery-bar")

    def show(self, key: str, value: Any) -> None:
        """Nothing arrives later: the gallery asks the store, which answers at once."""

    @property
    def chosen(self) -> list[str]:
        """Digests of what is ticked, or else of the open picture."""
        return list(self.wall.chosen) or ([self.detail.entry.digest] if self.detail.entry else [])

    def refresh(self) -> None:
        """Search anew, on the same page."""
        self.pointer.value = ""
        try:
            page = self.gallery.search(self.query.value, limit=self._page, offset=self._offset, sort=self.sort.value)
        except QueryError as error:
            self.pointer.value = f"<pre class='wb-pointer'>{escape(error.pointer)}</pre>"
            raise
        self.total = page.total
        self.wall.nothing = "Nothing found." if self.query.value.strip() else "Pictures you make appear here."
        self.wall.show(page.entries)
        last = page.offset + len(page.entries)
        found = f"{page.offset + 1} to {last} of {page.total:,}" if page.entries else f"{page.total:,} found"
        self.count.value = f"{found} · {page.seconds * 1000:.0f} ms"
        self.back.disabled = self._offset == 0
        self.forth.disabled = last >= page.total

    def compare(self) -> None:
        """Compare what is ticked.

        Raises:
            WorkbenchError: less than two pictures are.
        """
        if len(self.wall.chosen) < 2:
            raise WorkbenchError("Less than two pictures are ticked.", "Tick those that you want to compare.")
        self.comparison.show(self.gallery.show_all(list(self.wall.chosen)))
        self.comparison.layout.display = ""

    def _ask(self) -> None:
        self._offset = 0
        self.banner.clear()
        self.refresh()

    def _turn(self, pages: int) -> Callable[[], None]:
        def turn() -> None:
            self._offset = max(0, self._offset + pages * self._page)
            self.refresh()

        return turn

    def _open(self, digest: str) -> None:
        self.detail.show(digest)

    def _ticked(self) -> list[str]:
        if not (chosen := self.chosen):
            raise WorkbenchError("No picture is ticked.", "Tick some, or open one.")
        return chosen

    def _after(self, said: str) -> None:
        self.said.value = escape(said)
        self.refresh()
        if self.detail.entry is not None:
            self.detail.show(self.detail.entry.digest)

    def _star(self) -> None:
        digests = self._ticked()
        on = not all(entry.starred for entry in self.gallery.show_all(digests))
        self.gallery.star(digests, on)
        self._after(f"{len(digests)} {'starred' if on else 'without star'}")

    def _tag(self) -> None:
        self._after(f"{self.gallery.tag(self._ticked(), self.name.value)} tagged")

    def _board(self) -> None:
        self._after(f"{self.gallery.board(self._ticked(), self.name.value)} put on {self.name.value.strip()}")

    def _delete(self) -> None:
        count = self.gallery.delete(self._ticked())
        self.detail.hide()
        self._after(f"{count} in the trash; is:trash finds them")

    def _restore(self) -> None:
        self._after(f"{self.gallery.restore(self._ticked())} restored")

    def _export(self) -> None:
        digests = self._ticked()
        folder = self.session.settings.home / "exports"
        make_folder(folder)
        path = self.gallery.export(digests, folder / f"gallery-{datetime.now():%Y%m%d-%H%M%S}.zip")  # noqa: DTZ005
        self.said.value = escape(str(path))

    def _hand_over(self, recipe: Recipe) -> None:
        if self.generation is None:
            self.generation = GenerationPanel(self.session)
            self._below.children = (self.generation,)
        self.generation.restore(recipe)


def _button(text: str, icon: str, tooltip: str, act: Callable[[], None], panel: GalleryPanel) -> widgets.Button:
    made = widgets.Button(description=text, icon=icon, tooltip=tooltip)
    made.layout.width = "auto" if text else "36px"
    made.on_click(panel.banner.guarded(lambda _: act()))
    made.add_class(f"wb-gallery-{icon}")
    return made
