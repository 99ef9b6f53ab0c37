"""Compare any number of pictures: `workbench.compare(...)`.

comparison = workbench.compare("a.png", "b.png")
comparison.difference().sentence
comparison.to_png("compared.png"); comparison.to_html("compared.html")
"""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from workbench.comparison.difference import Difference, difference
from workbench.comparison.names import names
from workbench.comparison.page import compare_page
from workbench.comparison.sheet import sheet
from workbench.errors import InputError
from workbench.recipe import Recipe
from workbench.store.files import write_atomically

__all__ = ["Comparison", "Difference", "compare", "difference"]

MOST = 64  # pictures of one comparison


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pictures next to each other. In a notebook, showing it shows the page."""

    pictures: tuple[Image.Image, ...]  # RGB
    labels: tuple[str, ...]

    def difference(self, first: int = 0, second: int = 1) -> Difference:
        """How two of them differ.

        Raises:
            InputError: their sizes differ.
            IndexError: there are not so many.
        """
        return difference(self.pictures[first], self.pictures[second])

    def sheet(self) -> Image.Image:
        """All of them in a row, with maps of their differences from the first."""
        return sheet(self.pictures, self.labels)

    def to_png(self, path: str | Path) -> Path:
        """Write the sheet.

        Raises:
            StoreError: the file cannot be written.
        """
        buffer = io.BytesIO()
        self.sheet().save(buffer, "PNG")
        write_atomically(Path(path), buffer.getvalue())
        return Path(path)

    def to_html(self, path: str | Path) -> Path:
        """Write the page: side by side, slider, differences, blink. Everything is in the file.

        Raises:
            StoreError: the file cannot be written.
        """
        write_atomically(Path(path), self.page().encode())
        return Path(path)

    def page(self) -> str:
        """The page as text."""
        return compare_page(self.pictures, self.labels, " | ".join(self.labels))

    def _repr_html_(self) -> str:
        page = html.escape(self.page(), quote=True)
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="width:100%;height:560px;border:0"></iframe>'


def compare(*pictures: Any, labels: Sequence[str] | None = None) -> Comparison:
    """Put pictures next to each other.

    Args:
        pictures: paths, Pillow images, results of a session, or entries of the gallery; 1 to 64.
        labels: one for each; default: what the picture says of itself.

    Raises:
        InputError: none or too many pictures, one that cannot be read, or labels that do not fit.
        StoreError: a file is gone or damaged.
    """
    if not 1 <= len(pictures) <= MOST:
        raise InputError(f"{len(pictures)} pictures cannot be compared.", f"Give 1 to {MOST}.")
    if labels is not None and len(labels) != len(pictures):
        raise InputError(f"There are {len(labels)} labels for {len(pictures)} pictures.", "Give one for each.")
    read = [_read(each, place) for place, each in enumerate(pictures, 1)]
    recipes = [told if isinstance(told, Recipe) else None for _, told in read]
    made = [told if isinstance(told, str) else name for (_, told), name in zip(read, names(recipes), strict=True)]
    return Comparison(tuple(picture for picture, _ in read), tuple(map(str, made if labels is None else labels)))


def _read(source: Any, place: int) -> tuple[Image.Image, str | Recipe]:
    """A picture, and its name or what it was made from."""
    from workbench.models.inputs import read_input
    from workbench.store.png import read_picture

    if isinstance(source, Image.Image):
        return source.convert("RGB"), f"picture {place}"
    if isinstance(source, str | Path):
        return read_input(Path(source)), Path(source).name
    inner = getattr(source, "picture", None)  # a result of a session
    if isinstance(inner, Image.Image):
        return inner.convert("RGB"), source.recipe
    if isinstance(path := getattr(source, "path", None), Path):  # an entry of the gallery, or a stored picture
        return read_picture(path)[0], source.recipe
    raise InputError(
        f"Picture {place} is a {type(source).__name__}.", "Give paths, images, results or gallery entries."
    )
