"""Open the database: SQLite in WAL mode unless a URL says otherwise, shared by threads and processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.schema import CreateIndex, CreateTable

from workbench.errors import SettingsError, StoreError
from workbench.store.tables import Base

BUSY_SECONDS = 60  # how long a writer waits for another one


def open_database(home: Path, database: str | None) -> Engine:
    """Connect and make the tables that are missing.

    Args:
        home: folder of the default file `workbench.sqlite`; must exist.
        database: SQLAlchemy URL, or None for the default.

    Raises:
        SettingsError: `database` is no URL of a database driver that is installed.
        StoreError: the database cannot be opened.
    """
    engine = _connect(URL.create("sqlite", database=str(home / "workbench.sqlite")) if database is None else database)
    with explained(engine), engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # processes that start together make the tables in turn
        for table in Base.metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda each: str(each.name)):
                connection.execute(CreateIndex(index, if_not_exists=True))
    return engine


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turn what the database says into a sentence with a remedy."""
    try:
        yield
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split()).rstrip(".")
        place = engine.url.render_as_string(hide_password=True)
        raise StoreError(f"The database {place} cannot be used: {reason}.", _remedy(reason)) from error


def _connect(url: str | URL) -> Engine:
    try:
        parsed = make_url(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS} if sqlite else {})
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        # What SQLAlchemy says of a URL that it cannot parse may repeat the password in it.
        reason = "it is no SQLAlchemy URL" if isinstance(error, (ArgumentError, ValueError)) else str(error).rstrip(".")
        if isinstance(error, NoSuchModuleError):
            reason = f"there is no database driver {parsed.drivername!r}"
        raise SettingsError(
            f"The database setting cannot be used: {reason}.",
            "Write a SQLAlchemy URL such as sqlite:////folder/workbench.sqlite, and install its driver.",
        ) from None
    if sqlite:
        event.listen(engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")  # readers never wait for the writer
    cursor.execute("PRAGMA synchronous=NORMAL")  # safe with WAL; a power cut may lose the last rows, never the file
    cursor.close()


def _remedy(reason: str) -> str:
    if "locked" in reason:
        return "Another program holds it; wait for that program, or set WORKBENCH_HOME to another folder."
    if "full" in reason:
        return "Free some disk space and run again."
    if "not a database" in reason or "malformed" in reason:
        return "Move the file away: the pictures stay, and a new index is made from them as they are asked for."
    return "Set WORKBENCH_HOME to a folder that you may write to."
