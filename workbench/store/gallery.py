"""The gallery of a store: search, look up, and tables for pandas.

gallery = workbench.Session().gallery
page = gallery.search('model:klein steps>=8 "red circle" -star')
for entry in page.entries: print(entry.title, entry.scores)
gallery.frame("created>7d").groupby("steps").seconds.mean()
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, inspect, literal_column, select

from workbench.errors import nearest
from workbench.store import marks
from workbench.store.entries import Entry, read_entries
from workbench.store.errors import GalleryError
from workbench.store.fields import FIELDS
from workbench.store.gallery_tables import GalleryRow, ScoreRow
from workbench.store.query import Compare, Node, Not, parse
from workbench.store.thumbnails import Thumbnails
from workbench.store.where import Where

if TYPE_CHECKING:
    from pathlib import Path

    import pandas
    from PIL.Image import Image
    from sqlalchemy.orm import Session

    from workbench.store.lineage import Lineage
    from workbench.store.store import Store

PAGE = 60  # pictures of a page
_SORTS = {name: field.column for name, field in FIELDS.items() if field.kind in ("number", "moment", "text")}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what a query found."""

    entries: tuple[Entry, ...]
    total: int  # pictures found, on all pages
    offset: int  # of the first entry
    seconds: float  # that the search took


class Gallery:
    """Pictures of one store, found again.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.thumbnails = Thumbnails(store.home)
        self.trash_folder = store.home / "trash"
        self.places = (store.pictures, self.trash_folder)
        self._where: Where | None = None
        self._sqlite = False

    def search(self, query: str = "", *, limit: int = PAGE, offset: int = 0, sort: str = "-created") -> Page:
        """A page of what `query` finds; pictures in the trash only where it says `is:trash`.

        Args:
            query: see docs/gallery.md; empty finds everything.
            limit: entries at most.
            offset: how many to skip.
            sort: a field or `score.NAME`, with a minus for the largest first; what has no value comes last.

        Raises:
            QueryError: the query cannot be read.
            GalleryError: there is nothing of that name to sort by.
        """
        began = time.perf_counter()
        node, order = parse(query), _order(sort)
        counted = self.condition(node, counting=True)
        found = self.condition(node) if sort.removeprefix("-") == "created" else counted
        with self.store.transaction() as session:
            total, ids = _hits(session, found, counted, order, (max(0, limit), max(0, offset)))
            entries = read_entries(session, ids, self.places)
        return Page(tuple(entries), total, max(0, offset), time.perf_counter() - began)

    def digests(self, query: str = "", *, sort: str = "-created") -> list[str]:
        """The digests of all that `query` finds; arguments and errors as in `search`."""
        condition, order = self._condition(query), _order(sort)
        with self.store.transaction() as session:
            rows = select(GalleryRow.digest).where(condition).order_by(*order)
            return list(session.scalars(rows))

    def find(self, name: str) -> str:
        """The digest that starts with `name`.

        Raises:
            GalleryError: there is none, or several.
        """
        start = name.strip().lower()
        if not re.fullmatch(r"[0-9a-f]{4,64}", start):
            raise GalleryError(f"{name!r} is no picture.", "Give the first 4 to 64 hexadecimal digits of its digest.")
        with self.store.transaction() as session:
            rows = select(GalleryRow.digest).where(GalleryRow.digest >= start, GalleryRow.digest < f"{start}g").limit(2)
            found = list(session.scalars(rows))
        if not found and len(start) == 64 and self.store.get(start):  # a file that had lost its row
            return start
        if len(found) != 1:
            many = "Several pictures start" if found else "There is no picture that starts"
            raise GalleryError(f"{many} with {name!r}.", "Give more digits, or look with `workbench gallery list`.")
        return found[0]

    def show(self, name: str) -> Entry:
        """The picture whose digest starts with `name`, in the trash or not.

        Raises:
            GalleryError: there is none, or several.
        """
        return self.show_all([self.find(name)])[0]

    def show_all(self, digests: Sequence[str]) -> list[Entry]:
        """The pictures of whole digests, in order.

        Raises:
            GalleryError: one of them is not in the gallery.
        """
        with self.store.transaction() as session:
            return read_entries(session, marks.find_ids(session, digests), self.places)

    def thumbnail(self, digest: str) -> tuple[str, bytes]:
        """The small copy of a picture as (format, bytes of the file); made when it is asked for first.

        Raises:
            StoreError: the picture is gone or damaged.
        """
        place = self.store.path(digest)
        if not place.is_file():
            place = self.trash_folder / digest[:2] / f"{digest}.png"
        return self.thumbnails.read(digest, place)

    def star(self, digests: Sequence[str], on: bool = True) -> int:
        """Star pictures, or take their stars; how many there are."""
        return marks.set_star(self.store, digests, on)

    def note(self, digests: Sequence[str], note: str) -> int:
        """Write a note on pictures, in place of the one before; an empty one takes it away."""
        return marks.set_note(self.store, digests, note)

    def tag(self, digests: Sequence[str], *tags: str) -> int:
        """Give pictures tags; how many pictures there are."""
        return marks.add_tags(self.store, digests, tags)

    def untag(self, digests: Sequence[str], *tags: str) -> int:
        """Take tags from pictures; how many were taken."""
        return marks.remove_tags(self.store, digests, tags)

    def tags(self) -> dict[str, int]:
        """Every tag and its number of pictures, most used first."""
        return marks.count_tags(self.store)

    def boards(self) -> dict[str, int]:
        """Every board and its number of pictures."""
        return marks.count_boards(self.store)

    def board(self, digests: Sequence[str], name: str) -> int:
        """Put pictures on a board, which is made when there is none; how many were not on it."""
        return marks.put_on_board(self.store, digests, name)

    def unboard(self, digests: Sequence[str], name: str) -> int:
        """Take pictures off a board; how many were on it."""
        return marks.take_off_board(self.store, digests, name)

    def lineage(self, digest: str) -> Lineage:
        """Where a picture comes from and what came from it; see `workbench.store.lineage`."""
        from workbench.store.lineage import trace

        return trace(self, digest)

    def delete(self, digests: Sequence[str]) -> int:
        """Put pictures into the trash; how many were not there yet."""
        from workbench.store.trash import put_into_trash

        return put_into_trash(self, digests)

    def restore(self, digests: Sequence[str]) -> int:
        """Take pictures out of the trash; how many were there."""
        from workbench.store.trash import take_out_of_trash

        return take_out_of_trash(self, digests)

    def empty_trash(self) -> int:
        """Delete for good what is in the trash; how many pictures that were."""
        from workbench.store.trash import empty_trash

        return empty_trash(self)

    def export(self, digests: Sequence[str], path: str | Path) -> Path:
        """Write pictures, each with a JSON file beside it, into a zip file; see `workbench.store.export`."""
        from workbench.store.export import export_zip

        return export_zip(self, digests, path)

    def frame(self, query: str = "") -> pandas.DataFrame:
        """One row per picture, newest first: recipe, marks, and a column `score.SCORER.METRIC` for every metric."""
        from workbench.store.frame import gallery_frame

        return gallery_frame(self, query)

    def picture(self, digest: str) -> Image:
        """The picture itself, RGB.

        Raises:
            GalleryError: it is not in the gallery.
            StoreError: its file is gone or damaged.
        """
        from workbench.store.png import read_picture

        return read_picture(self.show_all([digest])[0].path)[0]

    def condition(self, node: Node, *, counting: bool = False) -> ColumnElement[bool]:
        """What must hold of a row for a query's tree; the trash is left out unless the query speaks of it.

        Args:
            node: the query's tree.
            counting: whether no index gives the order. In date's order an index ends the search with the page's last row;
                otherwise SQLite had better start from what the query names, and the sign keeps it from that index.
        """
        if self._where is None:
            with self.store.transaction() as session:
                connection = session.connection()
                self._sqlite = connection.dialect.name == "sqlite"
                self._where = Where(indexed=inspect(connection).has_table("gallery_words"))
        found = self._where.condition(node)
        if _speaks_of_trash(node):
            return found
        trashed: Any = literal_column("+gallery.trashed") if counting and self._sqlite else GalleryRow.trashed
        kept: ColumnElement[bool] = trashed.is_(None)
        return found & kept

    def _condition(self, query: str) -> ColumnElement[bool]:
        return self.condition(parse(query))


def _speaks_of_trash(node: Node) -> bool:
    match node:
        case Compare():
            return (node.field, node.value.casefold()) == ("is", "trash")
        case Not():
            return _speaks_of_trash(node.part)
        case _:
            return any(_speaks_of_trash(part) for part in getattr(node, "parts", ()))


def _order(sort: str) -> list[ColumnElement[Any]]:
    """Columns to order by; the newest first among equals, what has no value last.

    Raises:
        GalleryError: there is nothing of that name to sort by.
    """
    down, name = sort.startswith("-"), sort.removeprefix("-")
    if name == "created":  # without `nulls last`, so that the index gives the order
        return [each.desc() if down else each.asc() for each in (GalleryRow.created, GalleryRow.id)]
    start, dot, rest = name.partition(".")
    column: Any
    if start == "score" and dot and rest:
        scorer, dotted, metric = rest.partition(".")
        if dotted:
            named = (ScoreRow.scorer == scorer) & (ScoreRow.metric == metric)
        else:
            named = (ScoreRow.metric == rest) | ((ScoreRow.scorer == rest) & (ScoreRow.metric == ""))
        column = select(func.max(ScoreRow.value)).where(ScoreRow.picture == GalleryRow.id, named).scalar_subquery()
    elif name in _SORTS:
        column = getattr(GalleryRow, _SORTS[name])
    else:
        raise GalleryError(f"Nothing can be sorted by {sort!r}.", nearest(name, [*_SORTS, "score.NAME"]))
    first = column.desc() if down else column.asc()
    return [first.nulls_last(), GalleryRow.created.desc(), GalleryRow.id.desc()]


def _hits(
    session: Session,
    found: ColumnElement[bool],
    counted: ColumnElement[bool],
    order: list[ColumnElement[Any]],
    part: tuple[int, int],
) -> tuple[int, list[int]]:
    """How many rows there are, and the ids of a page of them, which is `part`: limit and offset.

    The page is asked for first: by date an index gives the order, so that the search ends with the page's last row, and
    a page that is not full tells the number without counting.
    """
    limit, offset = part
    rows = select(GalleryRow.id).where(found).order_by(*order).limit(limit).offset(offset)
    ids = list(session.scalars(rows)) if limit else []
    if len(ids) < limit and (ids or not offset):
        return offset + len(ids), ids
    return session.scalar(select(func.count()).select_from(GalleryRow).where(counted)) or 0, ids
