"""Gallery: narrow rows to search, marks, boards, sources, scores, and an index of words.

Every picture that is there already gets its row; digests of pixels are left open, as they need the files.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import OperationalError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHUNK = 1000  # rows read and written at once
DOCUMENTS = ("recipe", "adapter_weights", "seconds")  # JSON columns, read as text: one may be damaged
WORDS = ("prompt", "negative_prompt", "note_words")

log = logging.getLogger(__name__)


def upgrade() -> None:
    """Make the tables and fill them from the table of pictures."""
    _make_gallery()
    _make_parts()
    _make_boards()
    _fill()
    if op.get_bind().dialect.name == "sqlite":
        _make_words()


def _make_gallery() -> None:
    op.create_table(
        "gallery",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("weights", sa.String(64), nullable=False),
        sa.Column("task", sa.Text),
        sa.Column("precision", sa.Text),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("guidance_scale", sa.Float, nullable=False),
        sa.Column("strength", sa.Float),
        sa.Column("shift", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("file_bytes", sa.BigInteger, nullable=False),
        sa.Column("content", sa.String(64)),
        sa.Column("starred", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("trashed", sa.DateTime(timezone=True)),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("negative_prompt", sa.Text, nullable=False),
        sa.Column("note_words", sa.Text, nullable=False, server_default=""),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
    )
    compared = ["starred", "model", "steps", "seed", "width", "height", "guidance_scale", "seconds"]
    op.create_index("ix_gallery_scan", "gallery", ["trashed", "created", "id", *compared])
    op.create_index("ix_gallery_starred", "gallery", ["starred", "created"])
    op.create_index("ix_gallery_seed", "gallery", ["seed"])
    op.create_index("ix_gallery_content", "gallery", ["content"])


def _picture_id(**options: Any) -> sa.Column[int]:
    return sa.Column("picture", sa.Integer, sa.ForeignKey("gallery.id"), nullable=False, **options)


def _make_parts() -> None:
    op.create_table(
        "gallery_adapters",
        _picture_id(primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
    )
    op.create_index("ix_gallery_adapters_folded", "gallery_adapters", ["folded"])
    op.create_index("ix_gallery_adapters_file", "gallery_adapters", ["fingerprint"])
    op.create_table(
        "gallery_sources",
        _picture_id(primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("content", sa.String(64), nullable=False),
    )
    op.create_index("ix_gallery_sources_content", "gallery_sources", ["content"])
    op.create_table(
        "gallery_scores",
        _picture_id(primary_key=True),
        sa.Column("scorer", sa.String(200), primary_key=True),
        sa.Column("metric", sa.String(200), primary_key=True),
        sa.Column("version", sa.String(400), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_gallery_scores_value", "gallery_scores", ["metric", "scorer", "value", "picture"])


def _make_boards() -> None:
    op.create_table("gallery_tags", sa.Column("tag", sa.String(200), primary_key=True), _picture_id(primary_key=True))
    op.create_index("ix_gallery_tags_picture", "gallery_tags", ["picture"])
    op.create_table(
        "gallery_boards",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("folded", sa.String(200), nullable=False, unique=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "gallery_board_pictures",
        sa.Column("board", sa.Integer, sa.ForeignKey("gallery_boards.id"), primary_key=True),
        _picture_id(primary_key=True),
        sa.Column("added", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_gallery_board_pictures_picture", "gallery_board_pictures", ["picture"])


def _fill() -> None:
    """Rows for the pictures that are there, oldest first, so that ids rise with time."""
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT 1 FROM pictures LIMIT 1")).first() is None:
        return
    tables = sa.MetaData()
    tables.reflect(connection, only=["pictures", "gallery", "gallery_adapters", "gallery_sources"])
    pictures = tables.tables["pictures"]
    columns = [
        sa.cast(column, sa.Text).label(column.name) if column.name in DOCUMENTS else column
        for column in pictures.columns
        if column.name not in ("environment", "warnings", "fallbacks")
    ]
    query = sa.select(*columns).order_by(pictures.c.created, pictures.c.digest)
    number, damaged = 0, []
    for part in connection.execute(query).mappings().partitions(CHUNK):
        rows: dict[str, list[dict[str, Any]]] = {"gallery": [], "gallery_adapters": [], "gallery_sources": []}
        for raw in part:
            try:
                old = dict(raw) | {name: json.loads(raw[name]) for name in DOCUMENTS}
                adapters, sources = _adapters(number + 1, old), _sources(number + 1, old["recipe"])
                narrow = _narrow(number + 1, old)
            except (AttributeError, KeyError, TypeError, ValueError):
                damaged.append(raw["digest"])
                continue
            number += 1
            rows["gallery"].append(narrow)
            rows["gallery_adapters"] += adapters
            rows["gallery_sources"] += sources
        for name, values in rows.items():
            if values:
                connection.execute(tables.tables[name].insert(), values)
    for digest in damaged:  # a row changed by hand: without it, the picture is indexed anew from what its file says
        log.warning("the row of picture %s is damaged and is made anew from its file", digest)
        connection.execute(pictures.delete().where(pictures.c.digest == digest))
    if number and connection.dialect.name == "postgresql":  # ids were given by hand: the next one comes after them
        connection.execute(sa.text("SELECT setval(pg_get_serial_sequence('gallery', 'id'), :last)"), {"last": number})


def _narrow(number: int, old: dict[str, Any]) -> dict[str, Any]:
    recipe = old["recipe"]
    same = ("digest", "created", "model", "weights", "seed", "width", "height", "steps", "guidance_scale", "file_bytes")
    return {name: old[name] for name in same} | {
        "id": number,
        **{name: recipe.get(name) for name in ("task", "precision", "strength", "shift")},
        "seconds": sum(old["seconds"].values()),
        "prompt": old["prompt"].casefold(),
        "negative_prompt": (recipe.get("negative_prompt") or "").casefold(),
    }


def _adapters(number: int, old: dict[str, Any]) -> list[dict[str, Any]]:
    pairs = zip(old["recipe"].get("adapters") or (), old["adapter_weights"], strict=True)
    return [
        {
            "picture": number, "position": position, "name": adapter["name"], "folded": adapter["name"].casefold(),
            "weight": adapter["weight"], "fingerprint": fingerprint,
        }
        for position, (adapter, fingerprint) in enumerate(pairs)
    ]  # fmt: skip


def _sources(number: int, recipe: dict[str, Any]) -> list[dict[str, Any]]:
    found = [("reference", each["picture"]) for each in recipe.get("references") or ()]
    found += [(role, recipe[role]) for role in ("image", "mask") if recipe.get(role)]
    return [
        {"picture": number, "position": position, "role": role, "content": content}
        for position, (role, content) in enumerate(found)
    ]


def _make_words() -> None:
    """An index of all triples of characters; where this SQLite has none, searching reads all rows instead."""
    columns = ", ".join(WORDS)
    try:
        op.execute(
            f"CREATE VIRTUAL TABLE gallery_words USING fts5({columns}, "
            "content='gallery', content_rowid='id', tokenize='trigram')"
        )
    except OperationalError:
        return
    old, new = (", ".join(f"{which}.{name}" for name in WORDS) for which in ("old", "new"))
    remove = f"INSERT INTO gallery_words(gallery_words, rowid, {columns}) VALUES ('delete', old.id, {old});"  # noqa: S608 - names above
    insert = f"INSERT INTO gallery_words(rowid, {columns}) VALUES (new.id, {new});"  # noqa: S608
    op.execute(f"CREATE TRIGGER gallery_words_insert AFTER INSERT ON gallery BEGIN {insert} END")
    op.execute(f"CREATE TRIGGER gallery_words_delete AFTER DELETE ON gallery BEGIN {remove} END")
    op.execute(f"CREATE TRIGGER gallery_words_update AFTER UPDATE OF {columns} ON gallery BEGIN {remove} {insert} END")
    op.execute("INSERT INTO gallery_words(gallery_words) VALUES ('rebuild')")
