"""Bring the gallery up to what lies on the disk: files without rows, thumbnails, digests of pixels.

Temporary files of killed programs are taken away first. Needed after files were copied into a store, after a database was
lost, and for pictures of the first release, whose pixels' digests (which lineage goes by) were not kept. Safe to stop and to
run again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from workbench.errors import Cancelled, StoreError
from workbench.store.gallery_tables import GalleryRow
from workbench.store.leftovers import sweep

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken
    from workbench.store.gallery import Gallery


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What `refresh` did."""

    indexed: int  # files that had no row
    thumbnails: int  # made
    contents: int  # digests of pixels computed
    unreadable: tuple[str, ...]  # names of files that are no pictures of ours, or damaged
    swept: int = 0  # temporary files that killed programs left


def refresh(
    gallery: Gallery, told: Callable[[int, int], None] | None = None, cancel: CancelToken | None = None
) -> Refreshed:
    """Look at every file of the store.

    Args:
        gallery: whose store.
        told: called with how many files are done, of how many.
        cancel: stops between two files.

    Raises:
        StoreError: the database cannot be written.
        Cancelled: `cancel` was used; what was done is kept.
    """
    store = gallery.store
    swept = len(sweep(store.home))
    with store.transaction() as session:
        known = {row[0]: row[1] for row in session.execute(select(GalleryRow.digest, GalleryRow.content))}
    files = sorted(store.pictures.glob("??/*.png"))
    indexed = made = contents = 0
    unreadable: list[str] = []
    for done, path in enumerate(files, 1):
        if cancel is not None and cancel.cancelled:
            raise Cancelled("Looking through the gallery was stopped.", "Run it again to go on.")
        digest = path.stem
        try:
            if digest not in known:
                if store.get(digest) is None:
                    unreadable.append(path.name)
                    continue
                indexed += 1
            elif known[digest] is None:
                _keep_content(gallery, digest)
                contents += 1
            if not gallery.thumbnails.path(digest).is_file():
                gallery.thumbnail(digest)
                made += 1
        except StoreError as error:
            if error.__cause__ is not None and not isinstance(error.__cause__, OSError | ValueError | SyntaxError):
                raise  # the database, not this file
            unreadable.append(path.name)
        if told is not None:
            told(done, len(files))
    return Refreshed(indexed, made, contents, tuple(unreadable), swept)


def _keep_content(gallery: Gallery, digest: str) -> None:
    from workbench.models.inputs import content_digest  # the models are no part of the store's start

    content = content_digest(gallery.picture(digest).convert("RGB"))
    with gallery.store.transaction() as session:
        session.execute(update(GalleryRow).where(GalleryRow.digest == digest).values(content=content))
