"""Captions in a notebook: see the pictures, change one caption or many at once, undo, save.

All editing is `finetune.data.book`; the panel shows it and passes clicks on.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets
from PIL import Image

from finetune.data.book import CaptionBook
from finetune.data.errors import DataError
from workbench.panels.banner import Banner
from workbench.panels.base import CSS
from workbench.panels.pixels import HERE as SHARED
from workbench.panels.pixels import PixelWidget

HERE = Path(__file__).parent


class Gallery(PixelWidget):
    """Cards with a thumbnail and a caption.

    Args:
        source: gives the picture of an id.
        banner: shows what goes wrong.
    """

    _esm = (SHARED / "pixels.js").read_text(encoding="utf-8") + (HERE / "captions.js").read_text(encoding="utf-8")
    _css = HERE / "captions.css"
    items = traitlets.List(traitlets.Dict()).tag(sync=True)  # [{id, caption, changed}]
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)  # ids; set by the browser

    def __init__(self, source: Callable[[str], Image.Image | None], banner: Banner) -> None:
        super().__init__(source, banner)


class CaptionPanel(widgets.VBox):
    """Edit the captions of a folder of pictures, or of a metadata.jsonl.

    What a button does, it does to the selected pictures, or to all when none is selected.

    Args:
        path: the folder or the file.

    Raises:
        DataError: it is not there or cannot be edited.
    """

    def __init__(self, path: Path | str) -> None:
        self.book = CaptionBook(path)
        self.banner = Banner()
        self.gallery = Gallery(self.book.picture, self.banner)
        self.caption = widgets.Textarea(rows=3, continuous_update=False, layout=widgets.Layout(width="auto"))
        self.find, self.by = _text("find"), _text("replace by")
        self.addition = _text("text to put before or after")
        self.word = _text("trigger word")
        self.undo, self.save = _button("Undo", "undo"), _button("Save", "save")
        self.all, self.none = _button("Select all", ""), _button("Select none", "")
        self.save.button_style = "primary"
        self.status = widgets.HTML().add_class("wb-status")
        self.caption.add_class("ft-text")
        replace, trigger = _button("Replace", "exchange"), _button("Add trigger", "tag")
        before, after = _button("Put before", ""), _button("Put after", "")
        book = self.book
        for button, act in (
            (replace, lambda: book.replace(self.chosen, self.find.value, self.by.value)),
            (before, lambda: book.prefix(self.chosen, self._added())),
            (after, lambda: book.suffix(self.chosen, self._added())),
            (trigger, lambda: book.trigger(self.chosen, self.word.value)),
            (self.undo, book.undo),
        ):
            button.on_click(self.banner.guarded(lambda _, act=act: self._did(act())))
        self.buttons = {"replace": replace, "before": before, "after": after, "trigger": trigger}
        self.save.on_click(self.banner.guarded(lambda _: self._save()))
        self.all.on_click(lambda _: self.gallery.set_trait("selected", list(book.ids)))
        self.none.on_click(lambda _: self.gallery.set_trait("selected", []))
        self.gallery.observe(self.banner.guarded(lambda _: self._show_caption()), "selected")
        self.caption.observe(self.banner.guarded(self._typed), "value")
        rows = (
            [self.find, self.by, replace],
            [self.addition, before, after],
            [self.word, trigger],
            [self.all, self.none, self.undo, self.save, self.status],
        )
        style = widgets.HTML(f"<style>{CSS}</style>", layout=widgets.Layout(display="none"))
        tools = [widgets.HBox(row).add_class("ft-tools") for row in rows]
        super().__init__([style, self.banner, self.gallery, self.caption, *tools])
        self.add_class("wb-panel")
        self._show()
        self._show_caption()

    @property
    def chosen(self) -> tuple[str, ...]:
        """What buttons act on: the selected pictures, or all."""
        selected = set(self.gallery.selected)
        return tuple(name for name in self.book.ids if not selected or name in selected)

    def _added(self) -> str:
        """The text to put before or after, spaces and all."""
        if not self.addition.value:
            raise DataError("There is nothing to put there.", "Write the text; spaces and commas belong to it.")
        return str(self.addition.value)

    def _did(self, count: int) -> None:
        self.banner.clear()
        self._show(f"{count} changed." if count else "Nothing changed.")
        self._show_caption()

    def _typed(self, change: dict[str, Any]) -> None:
        selected = self.gallery.selected
        if len(selected) == 1 and change["new"] != self.book.captions[selected[0]]:
            self._did(self.book.set(selected[0], change["new"].strip()))

    def _save(self) -> None:
        written = self.book.save()
        self.banner.clear()
        self._show(f"{len(written)} file{'' if len(written) == 1 else 's'} written." if written else "Nothing to save.")

    def _show(self, told: str = "") -> None:
        captions, changed = self.book.captions, set(self.book.changed)
        self.gallery.items = [
            {"id": name, "caption": text, "changed": name in changed} for name, text in captions.items()
        ]
        open_changes = f" {len(changed)} not saved." if changed else ""
        self.status.value = escape(f"{told}{open_changes}".strip())

    def _show_caption(self) -> None:
        """The one selected caption, to edit; with several, what buttons will act on."""
        selected = self.gallery.selected
        one = len(selected) == 1
        self.caption.disabled = not one
        self.caption.value = self.book.captions[selected[0]] if one else ""
        acted = f"{len(selected)} pictures are selected" if selected else "No picture is selected: buttons act on all"
        self.caption.placeholder = "" if one else f"{acted}. Select one to edit its caption."


def _text(what: str) -> widgets.Text:
    made = widgets.Text(placeholder=what, layout=widgets.Layout(width="auto"))
    made.add_class(f"ft-{what.split(maxsplit=1)[0]}")
    return made


def _button(what: str, icon: str) -> widgets.Button:
    made = widgets.Button(description=what, icon=icon, layout=widgets.Layout(width="auto"))
    made.add_class(f"ft-{what.lower().replace(' ', '-')}")
    return made
