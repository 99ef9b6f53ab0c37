"""A selection as one zip file: the pictures as they are, a JSON file beside each, and a list of all."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from workbench.errors import StoreError
from workbench.store.files import cannot_write

if TYPE_CHECKING:
    from workbench.store.entries import Entry
    from workbench.store.gallery import Gallery

WORDS = 40  # characters of the prompt in a file's name


def export_zip(
    gallery: Gallery, digests: Sequence[str], path: str | Path, told: Callable[[int, int], None] | None = None
) -> Path:
    """Write pictures into a zip file, whole or not at all.

    Each picture is `NUMBER-words-of-the-prompt-DIGEST.png` with its metadata as it was saved, and a file `.json` of the
    same name with recipe, marks and scores; `index.json` lists them in order. Recipe files can be drawn again.

    Args:
        gallery: whose pictures.
        digests: which, in order.
        path: the zip file; an existing one is replaced.
        told: called with how many pictures are in, of how many.

    Raises:
        GalleryError: no such picture.
        StoreError: a picture is gone, or the file cannot be written; nothing is left behind.
    """
    target = Path(path)
    entries = gallery.show_all(digests)
    temporary = target.with_name(f".{target.name[:100]}.{uuid4().hex}.tmp")
    try:
        try:
            # PNG is compressed already: storing is as small and a hundred times faster.
            with zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED) as file:
                _fill(file, entries, told)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(target, error) from error
    return target


def _fill(file: zipfile.ZipFile, entries: Sequence[Entry], told: Callable[[int, int], None] | None) -> None:
    index = []
    digits = len(str(len(entries)))
    for number, entry in enumerate(entries, 1):
        name = f"{number:0{digits}}-{_words(entry.recipe.prompt)}{entry.digest[:12]}"
        if not entry.path.is_file():
            raise StoreError(f"The file {str(entry.path)!r} is gone.", "Make the picture again, or leave it out.")
        file.write(entry.path, f"{name}.png")
        facts = {key: value for key, value in entry.to_dict().items() if key != "path"} | {"file": f"{name}.png"}
        file.writestr(f"{name}.json", _json(facts))
        index.append({"file": f"{name}.png", "digest": entry.digest, "prompt": entry.recipe.prompt})
        if told is not None:
            told(number, len(entries))
    file.writestr("index.json", _json(index))


def _words(prompt: str) -> str:
    """The start of the prompt as part of a file's name that every system accepts; empty when nothing is left."""
    name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()[:WORDS]).strip("-")
    return f"{name}-" if name else ""


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
