"""What can go wrong with the database's schema, with a question and with the gallery."""

from __future__ import annotations

from workbench.errors import StoreError, WorkbenchError


class SchemaError(StoreError):
    """The database's tables are of a version that cannot be used: newer than this program, or old and read-only."""

    code = "WB610"


class QueryError(WorkbenchError):
    """A gallery query cannot be read: an unknown field, a value of the wrong kind, an open bracket.

    Args:
        query: the whole query.
        position: where it goes wrong, in characters from 0.
        message: what is wrong there, without the place.
        remedy: what to write instead.
    """

    code = "WB611"

    def __init__(self, query: str, position: int, message: str, remedy: str = "") -> None:
        self.query, self.position = query, position
        place = f"at character {position + 1} ({_around(query, position)})" if position < len(query) else "at its end"
        super().__init__(f"The query cannot be read {place}: {message}.", remedy)

    @property
    def pointer(self) -> str:
        """The query on one line and a caret under the place, for a fixed-width font."""
        return f"{self.query}\n{' ' * self.position}^"


class GalleryError(WorkbenchError):
    """Something in the gallery is not there or cannot be done: no such picture, board or tag, a name that is taken."""

    code = "WB612"


def _around(query: str, position: int, length: int = 20) -> str:
    """The query from `position` on, cut where it is long."""
    rest = query[position:]
    return repr(rest if len(rest) <= length else rest[:length] + "…")
