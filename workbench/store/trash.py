"""Deleting pictures: first into a trash, from where they can come back, then for good.

The rows change first and the files follow, so that a crash in between leaves a picture that is in the trash and whose
file has not moved yet: restoring and emptying find it in either place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from workbench.store.files import cannot_write, make_folder
from workbench.store.gallery_tables import AdapterRow, BoardPictureRow, GalleryRow, ScoreRow, SourceRow, TagRow
from workbench.store.marks import CHUNK, find_ids
from workbench.store.tables import PictureRow

if TYPE_CHECKING:
    from workbench.store.gallery import Gallery

PARTS = (AdapterRow, SourceRow, TagRow, BoardPictureRow, ScoreRow)


def put_into_trash(gallery: Gallery, digests: Sequence[str]) -> int:
    """Hide pictures and move their files to `trash/`; how many were not there yet.

    Stars, tags, notes, boards and scores wait with them. A recipe of a picture in the trash that is run again is made
    again, which takes the picture out.

    Raises:
        GalleryError: no such picture; nothing was deleted.
        StoreError: the database or a file cannot be changed.
    """
    with gallery.store.transaction() as session:
        ids = find_ids(session, digests)
        fresh = _select(session, ids, trashed=False)
        for start in range(0, len(fresh), CHUNK):
            part = [number for number, _ in fresh[start : start + CHUNK]]
            session.execute(update(GalleryRow).where(GalleryRow.id.in_(part)).values(trashed=datetime.now(UTC)))
    for _, digest in fresh:
        _move(gallery.store.path(digest), trash_path(gallery, digest))
    return len(fresh)


def take_out_of_trash(gallery: Gallery, digests: Sequence[str]) -> int:
    """Bring pictures back; how many were in the trash.

    Raises:
        GalleryError: no such picture; nothing was changed.
        StoreError: the database or a file cannot be changed.
    """
    with gallery.store.transaction() as session:
        gone = _select(session, find_ids(session, digests), trashed=True)
    for _, digest in gone:  # files first: a picture that is shown again must have its file
        _move(trash_path(gallery, digest), gallery.store.path(digest))
    with gallery.store.transaction() as session:
        for start in range(0, len(gone), CHUNK):
            part = [number for number, _ in gone[start : start + CHUNK]]
            session.execute(update(GalleryRow).where(GalleryRow.id.in_(part)).values(trashed=None))
    return len(gone)


def empty_trash(gallery: Gallery) -> int:
    """Delete everything in the trash for good, files, rows and thumbnails; how many pictures that were.

    Raises:
        StoreError: the database or a file cannot be changed; what was deleted is counted out the next time.
    """
    with gallery.store.transaction() as session:
        gone = list(session.execute(select(GalleryRow.id, GalleryRow.digest).where(GalleryRow.trashed.is_not(None))))
    for start in range(0, len(gone), CHUNK):
        part = gone[start : start + CHUNK]
        for _, digest in part:
            for path in (trash_path(gallery, digest), gallery.store.path(digest)):
                _unlink(path)
            gallery.thumbnails.remove(digest)
        with gallery.store.transaction() as session:
            ids, digests = [number for number, _ in part], [digest for _, digest in part]
            for table in PARTS:
                session.execute(delete(table).where(table.picture.in_(ids)))
            session.execute(delete(GalleryRow).where(GalleryRow.id.in_(ids)))
            session.execute(delete(PictureRow).where(PictureRow.digest.in_(digests)))
    return len(gone)


def trash_path(gallery: Gallery, digest: str) -> Path:
    """Where the file of a deleted picture lies."""
    return gallery.trash_folder / digest[:2] / f"{digest}.png"


def _select(session: Session, ids: Sequence[int], *, trashed: bool) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    state = GalleryRow.trashed.is_not(None) if trashed else GalleryRow.trashed.is_(None)
    for start in range(0, len(ids), CHUNK):
        query = select(GalleryRow.id, GalleryRow.digest).where(GalleryRow.id.in_(ids[start : start + CHUNK]), state)
        found += [(number, digest) for number, digest in session.execute(query)]
    return found


def _move(source: Path, target: Path) -> None:
    """Move a file that may have been moved before, or be gone."""
    make_folder(target.parent)
    try:
        source.replace(target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(target, error) from error


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
