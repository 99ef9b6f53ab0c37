"""Databases of every earlier schema are brought to this one; newer and read-only ones are refused in a sentence."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, create_engine

import workbench.store.gallery_tables
from workbench.errors import StoreError
from workbench.store import Store, migrations
from workbench.store.errors import SchemaError
from workbench.store.tables import Base

HERE = Path(__file__).parent
STEPS = migrations.known()
ROW = {
    "digest": "12" * 32, "created": "2026-10-31 23:59:58.000001", "model": "klein", "weights": "ab" * 32,
    "prompt": "Ein ROTER Kreis", "seed": 7, "width": 64, "height": 32, "steps": 4, "guidance_scale": 2.5,
    "recipe": json.dumps({
        "model": "klein", "prompt": "Ein ROTER Kreis", "negative_prompt": "Blau", "seed": 7, "width": 64, "height": 32,
        "steps": 4, "guidance_scale": 2.5, "precision": "float32", "task": "image", "strength": 0.5,
        "adapters": [{"name": "Ink", "weight": 0.75}], "references": [{"picture": "34" * 32}], "image": "56" * 32,
    }),
    "adapter_weights": json.dumps(["cd" * 32]), "seconds": json.dumps({"load": 1.5, "denoise": 0.5}),
    "environment": "{}", "warnings": "[]", "fallbacks": "[]", "peak_bytes": 3 * 2**31, "file_bytes": 1234,
}  # fmt: skip


def released(home: Path) -> sqlite3.Connection:
    """A database as version 0.1.0 made it: the statements that it ran, and no table of versions."""
    connection = sqlite3.connect(home / "workbench.sqlite", isolation_level=None)
    connection.executescript((HERE / "released_0_1_0.sql").read_text(encoding="utf-8"))
    return connection


def at_revision(home: Path, revision: str) -> sqlite3.Connection:
    """A database that an earlier program brought to `revision`."""
    engine = create_engine(URL.create("sqlite", database=str(home / "workbench.sqlite")))
    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return sqlite3.connect(home / "workbench.sqlite", isolation_level=None)


def insert(connection: sqlite3.Connection, row: dict[str, Any] = ROW) -> None:
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO pictures ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def revision(home: Path) -> str:
    connection = sqlite3.connect(home / "workbench.sqlite")
    found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    assert len(found) == 1
    return str(found[0][0])


def shape(home: Path) -> list[tuple[str, str]]:
    """Tables, columns, indices and triggers, in a form that can be compared."""
    connection = sqlite3.connect(home / "workbench.sqlite")
    found = []
    for kind, name in connection.execute("SELECT type, name FROM sqlite_master ORDER BY type, name").fetchall():
        columns = connection.execute(f"PRAGMA table_info({name})").fetchall() if kind == "table" else ()
        found.append((f"{kind} {name}", str(sorted(column[1:4] for column in columns))))
    connection.close()
    return found


def test_history_is_one_line_and_its_files_tell_the_order() -> None:
    scripts = ScriptDirectory(str(migrations.HERE))
    assert scripts.get_heads() == [migrations.head()]
    assert [each.revision for each in scripts.walk_revisions()] == list(reversed(STEPS))
    assert [int(step) for step in STEPS] == list(range(1, len(STEPS) + 1))


def test_the_steps_make_what_the_classes_say(tmp_path: Path) -> None:
    if find_spec("workbench.queue") and find_spec("workbench.queue.tables"):
        __import__("workbench.queue.tables")  # its tables are on the same metadata, and the store does not import it
    assert workbench.store.gallery_tables.GalleryRow.metadata is Base.metadata
    Store(tmp_path)
    engine = create_engine(URL.create("sqlite", database=str(tmp_path / "workbench.sqlite")))

    def ours(_: object, name: str | None, *__: object) -> bool:
        return not (name or "").startswith("gallery_words")  # SQLite's own index of words

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("old", ["released", *STEPS[:-1]])
def test_an_older_database_is_brought_up_to_date_with_its_pictures(tmp_path: Path, old: str) -> None:
    connection = released(tmp_path) if old == "released" else at_revision(tmp_path, old)
    insert(connection)
    connection.close()
    Store(tmp_path)
    assert revision(tmp_path) == migrations.head()
    connection = sqlite3.connect(tmp_path / "workbench.sqlite")
    assert connection.execute("SELECT digest, prompt FROM pictures").fetchall() == [(ROW["digest"], ROW["prompt"])]
    connection.close()
    (tmp_path / "fresh").mkdir()
    Store(tmp_path / "fresh")
    assert shape(tmp_path) == shape(tmp_path / "fresh")


def test_old_pictures_get_their_gallery_rows(tmp_path: Path) -> None:
    connection = released(tmp_path)
    insert(connection)
    insert(connection, ROW | {"digest": "99" * 32, "created": "2026-10-01 00:00:00.000000"})
    connection.close()
    Store(tmp_path)
    connection = sqlite3.connect(tmp_path / "workbench.sqlite")
    query = "SELECT id, digest, prompt, negative_prompt, strength, seconds, starred, trashed, content FROM gallery"
    assert connection.execute(f"{query} ORDER BY id").fetchall() == [
        (1, "99" * 32, "ein roter kreis", "blau", 0.5, 2.0, 0, None, None),
        (2, "12" * 32, "ein roter kreis", "blau", 0.5, 2.0, 0, None, None),
    ]
    adapters = connection.execute("SELECT picture, name, folded, weight, fingerprint FROM gallery_adapters").fetchall()
    assert adapters == [(number, "Ink", "ink", 0.75, "cd" * 32) for number in (1, 2)]
    sources = connection.execute("SELECT role, content FROM gallery_sources WHERE picture = 2").fetchall()
    assert sources == [("reference", "34" * 32), ("image", "56" * 32)]
    found = connection.execute("SELECT rowid FROM gallery_words WHERE gallery_words MATCH 'roter'").fetchall()
    assert found == [(1,), (2,)]
    connection.close()


def test_a_current_database_opens_without_alembic(tmp_path: Path) -> None:
    Store(tmp_path)
    code = (
        "import sys; from pathlib import Path; from workbench.store import Store\n"
        "Store(Path(sys.argv[1])).recent(1); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("written", [["9999"], ["0001", "0002"], ["nonsense"]])
def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path, written: list[str]) -> None:
    Store(tmp_path)
    connection = sqlite3.connect(tmp_path / "workbench.sqlite", isolation_level=None)
    connection.execute("DELETE FROM alembic_version")
    connection.executemany("INSERT INTO alembic_version VALUES (?)", [(each,) for each in written])
    connection.close()
    with pytest.raises(SchemaError, match=r"a newer workbench has written it\. Update") as caught:
        Store(tmp_path)
    assert written[0] in str(caught.value)
    connection = sqlite3.connect(tmp_path / "workbench.sqlite")
    assert sorted(connection.execute("SELECT version_num FROM alembic_version")) == sorted((each,) for each in written)
    connection.close()


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    connection = released(tmp_path)
    insert(connection)
    connection.execute("CREATE TABLE gallery_boards (mine TEXT)")  # in the way of the last table but one
    before = connection.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    with pytest.raises(StoreError, match="table gallery_boards already exists"):
        Store(tmp_path)
    connection = sqlite3.connect(tmp_path / "workbench.sqlite", isolation_level=None)
    assert connection.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall() == before
    connection.execute("DROP TABLE gallery_boards")
    connection.close()
    Store(tmp_path)
    assert revision(tmp_path) == migrations.head()


@pytest.mark.parametrize("damage", ['{"adapters": [{"weight": 1}]}', "{broken", "[]", '{"adapters": [{"name": "a"}]}'])
def test_a_row_damaged_by_hand_is_made_anew_from_its_file(tmp_path: Path, make_result: Any, damage: str) -> None:
    kept = [Store(tmp_path).add(make_result(seed)) for seed in range(2)]
    connection = sqlite3.connect(tmp_path / "workbench.sqlite")
    rows = connection.execute("SELECT * FROM pictures").fetchall()
    connection.close()
    for file in tmp_path.glob("workbench.sqlite*"):
        file.unlink()
    connection = released(tmp_path)
    connection.executemany(f"INSERT INTO pictures VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.execute("UPDATE pictures SET recipe = ? WHERE digest = ?", (damage, kept[0].digest))
    connection.close()
    store = Store(tmp_path)
    assert store.recent(5) == [kept[1]]
    assert store.get(kept[0].digest) == kept[0]


@pytest.fixture
def lock_folder(tmp_path: Path) -> Iterator[Any]:
    """Takes the right to write from a folder and its files, also where the tests run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("folders have no permission bits here")
    folder, root = tmp_path / "home", os.geteuid() == 0
    folder.mkdir()

    def lock() -> Path:
        for path in (*tmp_path.parents, tmp_path):
            if root and path.stat().st_uid == 0 and "pytest" in str(path):
                path.chmod(0o755)
        for path in folder.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        folder.chmod(0o555)
        if root:
            os.seteuid(65534)
        return folder

    yield lock
    if root:
        os.seteuid(0)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)


def test_a_read_only_store_can_be_read(tmp_path: Path, lock_folder: Any, make_result: Any) -> None:
    store = Store(tmp_path / "home")
    stored = store.add(make_result(1))
    store._engine.dispose()
    reader = Store(lock_folder())
    assert reader.recent(5) == [stored]
    assert reader.get(stored.digest) == stored
    with pytest.raises(StoreError):
        reader.add(make_result(2))


def test_an_old_read_only_database_is_refused_with_a_remedy(tmp_path: Path, lock_folder: Any) -> None:
    connection = released(tmp_path / "home")
    connection.close()
    (tmp_path / "home" / "pictures").mkdir()
    with pytest.raises(SchemaError, match=r"older revision.*may not be written.* Allow writing"):
        Store(lock_folder())


def test_a_locked_database_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_result: Any) -> None:
    monkeypatch.setattr("workbench.store.database.BUSY_SECONDS", 0.05)
    store = Store(tmp_path)
    stored = store.add(make_result(1))
    holder = sqlite3.connect(tmp_path / "workbench.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"locked.* wait for that program"):
        store.add(make_result(2))
    assert Store(tmp_path).recent(5) == [stored]  # readers are not held up
    holder.execute("COMMIT")
    holder.close()
    store.add(make_result(2))
    assert len(store.recent(5)) == 2


STARTER = """
import sys
from pathlib import Path
from workbench.store import Store
print("ready", flush=True)
sys.stdin.readline()
Store(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("old", ["nothing", "released"])
def test_processes_that_start_together_migrate_once(tmp_path: Path, old: str) -> None:
    if old == "released":
        connection = released(tmp_path)
        insert(connection)
        connection.close()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert revision(tmp_path) == migrations.head()
    connection = sqlite3.connect(tmp_path / "workbench.sqlite")
    assert connection.execute("SELECT count(*) FROM gallery").fetchone() == (1 if old == "released" else 0,)
    connection.close()
