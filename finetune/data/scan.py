"""Decode every picture of a data set once, on all cores, and note what training and the check need to know.

Nothing is dropped here: a picture that cannot be used is noted with what its decoder said, and it is the caller who refuses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from finetune.data.buckets import Size
from finetune.data.config import Source
from finetune.data.entries import Entry, find_entries
from finetune.data.errors import PictureError
from finetune.data.pictures import Blob, Facts, content_digest, decode_mask, decode_with_facts
from workbench.errors import Cancelled

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken

HASH_SIDE = 128  # pictures are reduced to about this before they are hashed for likeness


@dataclass(frozen=True, slots=True)
class Part:
    """A reference or a mask, decoded once."""

    digest: str
    size: Size
    blank: bool = False  # black all over: as a mask, it lets nothing train


@dataclass(frozen=True, slots=True)
class Scanned:
    """One entry with everything that decoding told."""

    entry: Entry
    facts: Facts | None  # None: the picture is unreadable
    digest: str
    references: tuple[Part, ...]
    mask: Part | None
    failures: tuple[str, ...]  # sentences, one for each unreadable picture, reference or mask
    small: Image.Image | None  # a small copy, when asked for


def scan(
    sources: Iterable[Source],
    *,
    keep_small: bool = False,
    progress: Callable[[int, int], None] | None = None,
    token: CancelToken | None = None,
) -> list[Scanned]:
    """Decode everything that `sources` hold, in their order.

    Args:
        sources: of a data configuration.
        keep_small: whether to keep a copy of about 128 pixels of every picture, for likeness and thumbnails.
        progress: called with (pictures done, pictures in all).
        token: asked between pictures whether to stop.

    Raises:
        DataError: a source is not there or its metadata is broken.
        Cancelled: `token` said so.
    """
    entries = [entry for source in sources for entry in find_entries(source)]

    def look(entry: Entry) -> Scanned:
        if token is not None and token.cancelled:
            raise Cancelled("The scan was stopped.")
        return _look(entry, keep_small=keep_small)

    done: list[Scanned] = []
    # Decoding and hashing release the interpreter's lock, so threads use every core.
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        for number, found in enumerate(pool.map(look, entries), 1):
            done.append(found)
            if progress is not None:
                progress(number, len(entries))
    finally:
        pool.shutdown(cancel_futures=True)  # an interruption does not wait for pictures that nobody asks for any more
    return done


def _look(entry: Entry, *, keep_small: bool) -> Scanned:
    failures: list[str] = []
    facts, digest, small = None, "", None
    try:
        picture, facts = decode_with_facts(entry.picture)
        digest = content_digest(picture)
        small = shrink(picture) if keep_small else None
    except PictureError as error:
        failures.append(error.message.removesuffix("."))
    references = [part for blob in entry.references if blob and (part := _part(blob, failures))]
    mask = _part(entry.mask, failures, mask=True) if entry.mask else None
    return Scanned(entry, facts, digest, tuple(references), mask, tuple(failures), small)


def _part(blob: Blob, failures: list[str], *, mask: bool = False) -> Part | None:
    try:
        picture = decode_mask(blob) if mask else decode_with_facts(blob)[0]
    except PictureError as error:
        failures.append(error.message.removesuffix("."))
        return None
    return Part(content_digest(picture), picture.size, blank=mask and picture.getbbox() is None)


def shrink(picture: Image.Image) -> Image.Image:
    """A copy whose longest side is about `HASH_SIDE`, by box averages alone: fast, and the same everywhere."""
    factor = max(1, max(picture.size) // HASH_SIDE)
    return picture.reduce(factor) if factor > 1 else picture.copy()
