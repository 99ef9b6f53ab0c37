"""Bring a database to the schema of this program: one numbered step after another, all of them or none.

The steps are files `versions/NNNN_name.py`, one line of history without branches. The last number is the head; opening a
database compares it with the table `alembic_version` and imports Alembic only when they differ. A new step is written by
hand after the example of the last one, changes no released step, and names no class of the program: classes change, a
step must not.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Inspector, inspect, text

from workbench.store.errors import SchemaError

HERE = Path(__file__).parent
FIRST = "0001"  # the schema that was released before there was a table of versions
_STEP = re.compile(r"(\d{4})_\w+\.py")


@cache
def known() -> tuple[str, ...]:
    """The revisions of this program, oldest first, read from the names of the files."""
    matches = (_STEP.fullmatch(path.name) for path in (HERE / "versions").iterdir())
    return tuple(sorted(match[1] for match in matches if match))


def head() -> str:
    """The revision that this program works with."""
    return known()[-1]


def revision_of(connection: Connection) -> str | None:
    """The revision of a database; None when it has no tables of ours yet.

    Raises:
        SchemaError: it is none that this program knows.
    """
    tables: Inspector = inspect(connection)
    found = []
    if tables.has_table("alembic_version"):
        found = [str(row[0]) for row in connection.execute(text("SELECT version_num FROM alembic_version"))]
    if not found:
        return FIRST if tables.has_table("pictures") else None
    if len(found) > 1 or found[0] not in known():
        raise SchemaError(
            f"The database is of revision {' and '.join(sorted(found))}, but this program knows only those up to "
            f"{head()}: a newer workbench has written it.",
            "Update flux-workbench, or set WORKBENCH_HOME to another folder.",
        )
    return found[0]


def upgrade(connection: Connection, revision: str | None) -> None:
    """Run the steps that are missing, inside the transaction of `connection`.

    Args:
        connection: in a transaction, which the caller commits; a failure leaves the database as it was.
        revision: what `revision_of` said.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if revision == FIRST and not inspect(connection).has_table("alembic_version"):
        command.stamp(config, FIRST)
    command.upgrade(config, "head")
