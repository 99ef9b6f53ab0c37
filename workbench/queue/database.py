"""Short transactions on the store's database, alike on SQLite and PostgreSQL.

SQLite has one writer at a time: a writing transaction takes the lock when it begins, so what it reads stays true until
it commits. PostgreSQL locks rows; where two transactions wait for each other it ends one, which is then done again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from workbench.errors import StoreError
from workbench.store.database import explained, open_database

T = TypeVar("T")

ATTEMPTS = 5  # of a transaction that PostgreSQL ended to let another one through
AGAIN = {"40P01", "40001"}  # SQLSTATE: deadlock detected, could not serialise


class Database:
    """The queue's connection to the store's database.

    Args:
        home: folder of the default file; must exist.
        url: SQLAlchemy URL, or None for `workbench.sqlite` in `home`.

    Raises:
        SettingsError: the URL cannot be used.
        StoreError: the database cannot be opened.
    """

    def __init__(self, home: Path, url: str | None) -> None:
        self.engine = open_database(home, url)
        self.sqlite = self.engine.dialect.name == "sqlite"
        self.name = self.engine.url.render_as_string(hide_password=True)

    def read(self, body: Callable[[Connection], T]) -> T:
        """What `body` makes of one consistent view of the tables.

        Raises:
            StoreError: the database cannot be read.
        """
        with explained(self.engine), self.engine.begin() as connection:
            if self.sqlite:
                connection.exec_driver_sql("BEGIN")
            return body(connection)

    def write(self, body: Callable[[Connection], T]) -> T:
        """Run `body` in a transaction, whole or not at all. It may run more than once and must touch nothing else.

        Raises:
            StoreError: the database is locked, full or read-only; nothing was changed.
        """
        for attempt in range(ATTEMPTS):
            try:
                with explained(self.engine), self.engine.begin() as connection:
                    if self.sqlite:
                        connection.exec_driver_sql("BEGIN IMMEDIATE")
                    return body(connection)
            except StoreError as error:
                if attempt == ATTEMPTS - 1 or not _ended_for_another(error):
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def disk_is_full(error: BaseException) -> bool:
    """Whether `error` says that a disk or quota is full, for a file or for the database."""
    import errno

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(cause, OperationalError) and (
            "disk is full" in str(cause.orig) or getattr(cause.orig, "sqlstate", None) == "53100"
        ):
            return True
        cause = cause.__cause__
    return False


def _ended_for_another(error: StoreError) -> bool:
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) in AGAIN
