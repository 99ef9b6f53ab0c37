"""Open the database: SQLite in WAL mode unless a URL says otherwise, shared by threads and processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from workbench.errors import SettingsError, StoreError
from workbench.store import migrations
from workbench.store.errors import SchemaError

BUSY_SECONDS = 60  # how long a writer waits for another one
LOCK = 0x666C7578  # PostgreSQL's advisory lock around migrations: any number that no other program uses


def open_database(home: Path, database: str | None) -> Engine:
    """Connect, and bring the tables to the schema of this program.

    A SQLite file that may not be written is opened for reading, when its schema is the present one.

    Args:
        home: folder of the default file `workbench.sqlite`; must exist.
        database: SQLAlchemy URL, or None for the default.

    Raises:
        SettingsError: `database` is no URL of a database driver that is installed.
        SchemaError: a newer program has written the database, or an older one and it may not be changed.
        StoreError: the database cannot be opened.
    """
    engine = _connect(URL.create("sqlite", database=str(home / "workbench.sqlite")) if database is None else database)
    try:
        with explained(engine):
            with engine.connect() as connection:
                current = migrations.revision_of(connection)
            if current != migrations.head():
                _migrate(engine, current)
    except BaseException:
        engine.dispose()  # nobody else will close its connections
        raise
    return engine


def _migrate(engine: Engine, current: str | None) -> None:
    """Run the missing steps in one transaction; processes that start together take turns."""
    if engine.url.query.get("mode") == "ro":
        raise SchemaError(
            f"The database is of an older revision ({current or 'empty'}, now {migrations.head()}) and may not be "
            f"written, so that it cannot be brought up to date.",
            "Allow writing to it, or copy the folder and set WORKBENCH_HOME to the copy.",
        )
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        current = migrations.revision_of(connection)  # another process may have been quicker
        if current != migrations.head():
            migrations.upgrade(connection, current)


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
        if sqlite and _read_only(parsed):
            parsed = _for_reading(parsed)
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


def _read_only(url: URL) -> bool:
    """Whether the URL names a SQLite file that exists but may not be written, by itself or by its folder."""
    if url.database in (None, "", ":memory:") or url.query.get("uri"):
        return False
    file = Path(str(url.database))
    effective = os.access in os.supports_effective_ids
    return file.is_file() and not all(
        os.access(path, os.W_OK, effective_ids=effective) for path in (file, file.absolute().parent)
    )


def _for_reading(url: URL) -> URL:
    """The same file, opened so that nothing is written beside it.

    WAL mode would make two small files in the folder even for a reader; `immutable` does without, which is right while no
    program writes. Where a log with content (`-wal`) is there, one does or did, and the file is read together with it.
    """
    file = Path(str(url.database)).absolute()
    log = file.with_name(f"{file.name}-wal")
    alone = not log.is_file() or log.stat().st_size == 0
    query = {"mode": "ro", "uri": "true"} | ({"immutable": "1"} if alone else {})
    return url.set(database=file.as_uri(), query=query)


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
