"""Scores by picture, question and scorer version: what was scored once is read, never computed again.

The table lies in `scores.sqlite` beside the picture store. Errors are not kept: what failed is tried again.
"""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Column, Integer, MetaData, String, Table, Text, create_engine, event, select, tuple_
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from evals.scoring import Sample, Score, Scorer, picture_digest
from workbench.errors import StoreError
from workbench.store.files import make_folder

FILE = "scores.sqlite"
READS = ("references", "peers", "cost")
"""Fields of a sample beside picture, prompt and ask that a scorer may look at; see `reads_of`."""
_CHUNK = 400  # keys in one query; SQLite's oldest limit is 999 variables
_TABLE = Table(
    "scores",
    MetaData(),
    Column("picture", String(64), primary_key=True),
    Column("asked", String(64), primary_key=True),
    Column("scorer", String(200), primary_key=True),
    Column("version", String(400), primary_key=True),
    Column("values", Text, nullable=False),
    Column("seen", Text, nullable=False),
    Column("format", Integer, nullable=False, default=1),
    sqlite_with_rowid=False,
)
Key = tuple[str, str]
"""Digest of the picture, and of everything else that the scorer looks at."""


def reads_of(scorer: Scorer) -> tuple[str, ...]:
    """Which of `READS` a scorer looks at: its attribute `reads`, or all where it does not say.

    A scorer that says less is found in the cache when, say, more seeds of the same prompt are drawn.
    """
    return tuple(getattr(scorer, "reads", READS))


def key_of(sample: Sample, scorer: Scorer) -> Key:
    """What a score depends on, as two digests."""
    reads = reads_of(scorer)
    asked: dict[str, Any] = {"prompt": sample.prompt, "ask": dict(sample.ask)}
    if "references" in reads and sample.references:
        asked["references"] = [picture_digest(each) for each in sample.references]
    if "peers" in reads and sample.peers:
        asked["peers"] = [picture_digest(each) for each in sample.peers]
    if "cost" in reads and sample.cost:
        asked["cost"] = dict(sample.cost)
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sample.picture_digest, hashlib.sha256(text.encode()).hexdigest()


class ScoreCache:
    """The scores of one home folder; safe to share between threads and processes, safe to delete.

    Args:
        home: folder of the file `scores.sqlite`; made when missing.

    Raises:
        StoreError: the file cannot be opened or is none of ours.
    """

    def __init__(self, home: Path) -> None:
        make_folder(Path(home))
        self.path = Path(home) / FILE
        self._engine = create_engine(
            URL.create("sqlite", database=str(self.path)), connect_args={"timeout": 60, "check_same_thread": False}
        )
        event.listen(self._engine, "connect", _tune)
        weakref.finalize(self, self._engine.dispose)
        try:
            with self._engine.begin() as connection:
                connection.execute(CreateTable(_TABLE, if_not_exists=True))
        except DBAPIError as error:
            raise self._explain(error) from error

    def read(self, keys: Iterable[Key], scorer: Scorer) -> dict[Key, Score]:
        """Those of `keys` that are there for this scorer and version.

        Raises:
            StoreError: the file cannot be read.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[Key, Score] = {}
        columns = _TABLE.c
        mine = select(columns.picture, columns.asked, columns["values"], columns.seen).where(
            columns.scorer == scorer.name, columns.version == scorer.version
        )
        try:
            with self._engine.connect() as connection:
                for start in range(0, len(wanted), _CHUNK):
                    part = wanted[start : start + _CHUNK]
                    for picture, asked, values, seen in connection.execute(
                        mine.where(tuple_(columns.picture, columns.asked).in_(part))
                    ):
                        found[picture, asked] = Score(json.loads(values), json.loads(seen))
        except DBAPIError as error:
            raise self._explain(error) from error
        return found

    def write(self, scores: Mapping[Key, Score], scorer: Scorer) -> None:
        """Keep scores; those with an error are left out.

        Raises:
            StoreError: the file cannot be written.
        """
        rows: Sequence[dict[str, Any]] = [
            {
                "picture": picture, "asked": asked, "scorer": scorer.name, "version": scorer.version,
                "values": json.dumps(dict(score.values)), "seen": json.dumps(dict(score.seen), ensure_ascii=False),
            }
            for (picture, asked), score in scores.items()
            if not score.error
        ]  # fmt: skip
        if not rows:
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(_TABLE).on_conflict_do_nothing(), rows)
        except DBAPIError as error:
            raise self._explain(error) from error

    def _explain(self, error: DBAPIError) -> StoreError:
        reason = " ".join(str(error.orig).split()).rstrip(".")
        return StoreError(
            f"The score cache {str(self.path)!r} cannot be used: {reason}.",
            "Move the file away: scores are computed again as they are asked for.",
        )


def _tune(connection: Any, _record: object) -> None:
    with closing(connection.cursor()) as cursor:
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode=WAL")  # readers never wait for the writer
        cursor.execute("PRAGMA synchronous=NORMAL")
