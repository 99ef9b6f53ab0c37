"""Stars, tags, notes and boards: what people say of pictures. Every function is one transaction over many pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.orm import Session

from workbench.errors import nearest
from workbench.store.errors import GalleryError
from workbench.store.gallery_tables import BoardPictureRow, BoardRow, GalleryRow, TagRow

if TYPE_CHECKING:
    from workbench.store.store import Store

CHUNK = 400  # keys in one statement
LONGEST_NAME = 100  # characters of a tag or a board
LONGEST_NOTE = 10_000


def set_star(store: Store, digests: Iterable[str], on: bool) -> int:
    """Star pictures, or take their stars; how many there are now."""
    with store.transaction() as session:
        ids = find_ids(session, digests)
        for part in _parts(ids):
            session.execute(update(GalleryRow).where(GalleryRow.id.in_(part)).values(starred=on))
        return len(ids)


def set_note(store: Store, digests: Iterable[str], note: str) -> int:
    """Write a note on pictures, instead of the one they have; an empty one takes it away.

    Raises:
        GalleryError: no such picture, or the note is too long.
    """
    note = _printable(note.strip(), "note")
    if len(note) > LONGEST_NOTE:
        raise GalleryError(f"The note has {len(note)} characters.", f"Use at most {LONGEST_NOTE}.")
    with store.transaction() as session:
        ids = find_ids(session, digests)
        for part in _parts(ids):
            changed = update(GalleryRow).where(GalleryRow.id.in_(part))
            session.execute(changed.values(note=note, note_words=note.casefold()))
        return len(ids)


def add_tags(store: Store, digests: Iterable[str], tags: Iterable[str]) -> int:
    """Give pictures tags; how many pictures there are.

    Raises:
        GalleryError: no such picture, or a tag that cannot be one.
    """
    names = [clean_name(tag, "tag").casefold() for tag in tags]
    with store.transaction() as session:
        ids = find_ids(session, digests)
        for name in dict.fromkeys(names):
            for part in _parts(ids):
                there = set(session.scalars(select(TagRow.picture).where(TagRow.tag == name, TagRow.picture.in_(part))))
                if rows := [{"tag": name, "picture": each} for each in part if each not in there]:
                    session.execute(insert(TagRow), rows)
        return len(ids)


def remove_tags(store: Store, digests: Iterable[str], tags: Iterable[str]) -> int:
    """Take tags from pictures that have them; how many were taken."""
    taken = 0
    with store.transaction() as session:
        ids = find_ids(session, digests)
        names = [tag.strip().casefold() for tag in tags]
        for part in _parts(ids):
            gone = delete(TagRow).where(TagRow.picture.in_(part), TagRow.tag.in_(names)).returning(TagRow.tag)
            taken += len(session.execute(gone).all())
    return taken


def count_tags(store: Store) -> dict[str, int]:
    """Every tag and on how many pictures it is, most used first; pictures in the trash do not count."""
    query = (
        select(TagRow.tag, func.count())
        .join(GalleryRow, GalleryRow.id == TagRow.picture)
        .where(GalleryRow.trashed.is_(None))
        .group_by(TagRow.tag)
        .order_by(func.count().desc(), TagRow.tag)
    )
    return _counts(store, query)


def count_boards(store: Store) -> dict[str, int]:
    """Every board and how many pictures are on it, by name; pictures in the trash do not count."""
    query = (
        select(BoardRow.name, func.count(GalleryRow.id))
        .outerjoin(BoardPictureRow, BoardPictureRow.board == BoardRow.id)
        .outerjoin(GalleryRow, (GalleryRow.id == BoardPictureRow.picture) & GalleryRow.trashed.is_(None))
        .group_by(BoardRow.id, BoardRow.name, BoardRow.folded)
        .order_by(BoardRow.folded)
    )
    return _counts(store, query)


def make_board(store: Store, name: str) -> None:
    """Make an empty board.

    Raises:
        GalleryError: there is one of that name, in whatever case, or the name cannot be one.
    """
    name = clean_name(name, "board")
    with store.transaction() as session:
        _refuse_taken(session, name)
        session.add(BoardRow(name=name, folded=name.casefold(), created=datetime.now(UTC)))


def rename_board(store: Store, name: str, new: str) -> None:
    """Give a board another name.

    Raises:
        GalleryError: there is no such board, or the new name is taken.
    """
    new = clean_name(new, "board")
    with store.transaction() as session:
        board = _board(session, name)
        if new.casefold() != board.folded:
            _refuse_taken(session, new)
        board.name, board.folded = new, new.casefold()


def remove_board(store: Store, name: str) -> None:
    """Remove a board; its pictures stay in the gallery.

    Raises:
        GalleryError: there is no such board.
    """
    with store.transaction() as session:
        board = _board(session, name)
        session.execute(delete(BoardPictureRow).where(BoardPictureRow.board == board.id))
        session.delete(board)


def put_on_board(store: Store, digests: Iterable[str], name: str) -> int:
    """Put pictures on a board, which is made when there is none; how many were not on it before.

    Raises:
        GalleryError: no such picture, or the name cannot be one.
    """
    name = clean_name(name, "board")
    now, added = datetime.now(UTC), 0
    with store.transaction() as session:
        ids = find_ids(session, digests)
        board = session.scalar(select(BoardRow).where(BoardRow.folded == name.casefold()))
        if board is None:
            board = BoardRow(name=name, folded=name.casefold(), created=now)
            session.add(board)
            session.flush()
        mine = BoardPictureRow.board == board.id
        for part in _parts(ids):
            there = set(session.scalars(select(BoardPictureRow.picture).where(mine, BoardPictureRow.picture.in_(part))))
            rows = [{"board": board.id, "picture": each, "added": now} for each in part if each not in there]
            if rows:
                session.execute(insert(BoardPictureRow), rows)
            added += len(rows)
    return added


def take_off_board(store: Store, digests: Iterable[str], name: str) -> int:
    """Take pictures off a board; how many were on it.

    Raises:
        GalleryError: there is no such picture or board.
    """
    taken = 0
    with store.transaction() as session:
        ids, board = find_ids(session, digests), _board(session, name)
        for part in _parts(ids):
            gone = delete(BoardPictureRow).where(BoardPictureRow.board == board.id, BoardPictureRow.picture.in_(part))
            taken += len(session.execute(gone.returning(BoardPictureRow.picture)).all())
    return taken


def find_ids(session: Session, digests: Iterable[str]) -> list[int]:
    """The rows of whole digests, in order, each once.

    Raises:
        GalleryError: one of them is not in the gallery.
    """
    wanted = list(dict.fromkeys(digests))
    known: dict[str, int] = {}
    for part in _parts(wanted):
        query = select(GalleryRow.digest, GalleryRow.id).where(GalleryRow.digest.in_(part))
        known |= {row[0]: row[1] for row in session.execute(query)}
    if missing := [digest for digest in wanted if digest not in known]:
        raise GalleryError(
            f"There is no picture {missing[0]!r} in the gallery.", "`workbench gallery list` shows some."
        )
    return [known[digest] for digest in wanted]


def clean_name(name: str, kind: str) -> str:
    """A tag or board name: spaces made single.

    Raises:
        GalleryError: it is empty, too long, or holds characters that cannot be printed.
    """
    name = " ".join(_printable(name, kind).split())
    if not name or len(name) > LONGEST_NAME:
        raise GalleryError(f"The {kind} {name[:40]!r} has {len(name)} characters.", f"Use 1 to {LONGEST_NAME}.")
    if "*" in name:
        raise GalleryError(f"The {kind} {name!r} holds a *.", "Queries use it for any characters; leave it out.")
    return name


def _printable(text: str, kind: str) -> str:
    bad = [
        each for each in text if (each < " " and each not in "\t\n\r") or each == "\x7f" or "\ud800" <= each <= "\udfff"
    ]
    if bad:
        raise GalleryError(f"The {kind} holds the character {bad[0]!r}.", "Leave out what cannot be printed.")
    return text


def _board(session: Session, name: str) -> BoardRow:
    board = session.scalar(select(BoardRow).where(BoardRow.folded == " ".join(name.split()).casefold()))
    if board is None:
        names = list(session.scalars(select(BoardRow.name)))
        remedy = nearest(name, names) if names else "There are no boards yet."
        raise GalleryError(f"There is no board {name!r}.", remedy)
    return board


def _refuse_taken(session: Session, name: str) -> None:
    if session.scalar(select(BoardRow.id).where(BoardRow.folded == name.casefold())) is not None:
        raise GalleryError(f"There is a board {name!r} already.", "Choose another name.")


def _counts(store: Store, query: Select[str, int]) -> dict[str, int]:
    with store.transaction() as session:
        return {row[0]: row[1] for row in session.execute(query)}


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
