"""Store and gallery on a real PostgreSQL server: migrations, every query, marks, trash; the same answers as on SQLite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from tests.queue.test_queue_postgres import server, url  # noqa: F401 - fixtures
from tests.store.test_gallery import QUERIES, fill, seeds_of
from tests.store.test_migrations import ROW
from workbench.store import Store, migrations
from workbench.store.errors import SchemaError
from workbench.store.gallery import Gallery
from workbench.store.scores import keep_scores
from workbench.store.tables import Base


def test_the_gallery_answers_as_on_sqlite(tmp_path: Path, url: str, make_result: Any) -> None:  # noqa: F811
    gallery = Gallery(fill(Store(tmp_path, url), make_result))
    wrong = {query: found for query, seeds in QUERIES if (found := seeds_of(gallery, query)) != seeds}
    assert wrong == {}

    first, second = gallery.digests("seed:0 or seed:1", sort="created")
    gallery.star([first])
    gallery.tag([first, second], "Good")
    gallery.note([second], "Look AGAIN")
    gallery.board([first], "Winners")
    keep_scores(gallery.store, "clip", "1", {first: {"similarity": 0.25}, second: {"similarity": 0.75}})
    assert seeds_of(gallery, "star tag:good board:winners score.clip<0.5") == [0]
    assert seeds_of(gallery, "again score.clip.similarity:0.5..1 -star") == [1]
    assert [entry.recipe.seed for entry in gallery.search(sort="-score.clip").entries][:2] == [1, 0]
    assert (gallery.tags(), gallery.boards()) == ({"good": 2}, {"Winners": 1})
    assert len(gallery.frame("tag:good")) == 2
    gallery.delete([first])
    assert seeds_of(gallery, "tag:good") == [1]
    gallery.restore([first])
    assert gallery.show(first).boards == ("Winners",)
    gallery.delete([first])
    assert gallery.empty_trash() == 1
    assert gallery.search().total == 4
    gallery.store._engine.dispose()


def test_databases_of_the_first_release_are_brought_up_to_date(tmp_path: Path, url: str) -> None:  # noqa: F811
    from alembic import command
    from alembic.config import Config

    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("DROP TABLE alembic_version"))  # the first release had none
        marks = ", ".join(f":{name}" for name in ROW)
        connection.execute(text(f"INSERT INTO pictures ({', '.join(ROW)}) VALUES ({marks})"), ROW)
        broken = ROW | {"digest": "99" * 32, "recipe": json.dumps({"adapters": 3})}
        connection.execute(text(f"INSERT INTO pictures ({', '.join(ROW)}) VALUES ({marks})"), broken)
    store = Store(tmp_path, url)
    assert Gallery(store).digests('"roter kreis" adapter:ink') == [ROW["digest"]]
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM pictures")).scalar_one() == 1
        connection.execute(text("INSERT INTO gallery (digest, created, model, weights, seed, width, height, steps, "
                                "guidance_scale, seconds, file_bytes, prompt, negative_prompt) VALUES ('x', now(), '', "
                                "'', 0, 1, 1, 1, 1, 1, 1, '', '')"))  # fmt: skip
        __import__("workbench.queue.tables")
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert set(Base.metadata.tables) <= set(inspect(connection).get_table_names())
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="newer workbench"):
        Store(tmp_path, url)
    store._engine.dispose()
    engine.dispose()
