"""One picture of the gallery at full size: its recipe, what is said of it, where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import ipywidgets as widgets

from workbench.panels.banner import Banner
from workbench.panels.gallery_parts import CopyButton
from workbench.panels.pixels import encode
from workbench.recipe import Recipe
from workbench.store.entries import Entry
from workbench.store.gallery import Gallery


class GalleryDetail(widgets.HBox):
    """Hidden until `show` is called.

    Args:
        gallery: where the pictures are.
        changed: called after the note was written.
        send: called with the shown recipe when it is to go to the generation panel.
        banner: shows what goes wrong.
    """

    def __init__(
        self, gallery: Gallery, changed: Callable[[], None], send: Callable[[Recipe], None], banner: Banner
    ) -> None:
        self.entry: Entry | None = None
        self._gallery, self._changed, self._hand_over = gallery, changed, send
        self.picture = widgets.Image().add_class("wb-full")
        self.facts = widgets.HTML().add_class("wb-facts")
        self.recipe = widgets.HTML().add_class("wb-recipe")
        self.copy_button = CopyButton(label="Copy recipe")
        self.send_button = widgets.Button(description="To the generation panel", icon="share").add_class("wb-send")
        self.close_button = widgets.Button(icon="times", tooltip="Close", layout=widgets.Layout(width="36px"))
        self.note = widgets.Textarea(placeholder="Note", rows=2, continuous_update=False).add_class("wb-note-field")
        self.note.layout.width = "auto"
        self.send_button.layout.width = "auto"
        self.send_button.on_click(banner.guarded(lambda _: self._to_generation()))
        self.close_button.on_click(banner.guarded(lambda _: self.hide()))
        self.note.observe(banner.guarded(lambda _: self._write_note()), "value")
        buttons = widgets.HBox([self.copy_button, self.send_button, self.close_button]).add_class("wb-actions")
        text = widgets.VBox([buttons, self.facts, self.note, self.recipe]).add_class("wb-result")
        super().__init__([self.picture, text])
        self.add_class("wb-gallery-detail")
        self.hide()

    def show(self, digest: str) -> None:
        """Show a picture.

        Raises:
            GalleryError: there is no such picture.
            StoreError: its file is gone or damaged.
        """
        lineage = self._gallery.lineage(digest)
        entry = lineage.entry
        self.picture.format, self.picture.value = encode(self._gallery.picture(digest))
        self.entry = None  # so that filling the field is not taken for writing a note
        self.note.value = entry.note
        self.entry = entry
        yaml = entry.recipe.to_yaml()
        self.copy_button.text = yaml
        self.recipe.value = f"<div class='wb-yaml'><pre>{escape(yaml)}</pre></div>"
        lines = [
            f"<b>{escape(entry.digest[:12])}</b> · {entry.created.astimezone():%Y-%m-%d %H:%M} · {entry.seconds:.2f} s",
            _line("Tags", entry.tags),
            _line("Boards", entry.boards),
            _line("Scores", [f"{name} {value:.4g}" for name, value in entry.scores.items()]),
            _line("Used by", [child[:12] for child in lineage.children[:10]]),
        ]
        lines += [escape(each.sentence()) for each in lineage.adapters]
        for source in lineage.sources:
            origin = ", ".join(each[:12] for each in source.made_here) or "not made here"
            lines.append(escape(f"{source.role} {source.content[:12]}: {origin}"))
        self.facts.value = "<br>".join(line for line in lines if line)
        self.layout.display = "flex"

    def hide(self) -> None:
        """Show nothing."""
        self.entry = None
        self.layout.display = "none"

    def _to_generation(self) -> None:
        if self.entry is not None:
            self._hand_over(self.entry.recipe)

    def _write_note(self) -> None:
        if self.entry is not None and self.note.value.strip() != self.entry.note:
            self._gallery.note([self.entry.digest], self.note.value)
            self._changed()


def _line(name: str, values: object) -> str:
    text = ", ".join(map(str, values)) if isinstance(values, list | tuple) else str(values)
    return f"{name}: {escape(text)}" if text else ""
