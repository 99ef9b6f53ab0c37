"""Pictures by digest: what was made once is never made again.

A picture is one PNG under `pictures/ab/abcd....png` and one row of the index. The file is written first, whole or not at
all, so a crash in between costs a row, which the next question for that digest restores from the file. Threads and
processes may share a store: equal digests mean equal pixels, so the last writer wins and nobody loses.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from PIL.Image import Image
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from workbench.engine.events import Result
from workbench.errors import StoreError
from workbench.recipe import Recipe
from workbench.recipe.conditions import first_step
from workbench.recipe.solvers import PASSES
from workbench.store.database import explained, open_database
from workbench.store.facts import write_facts
from workbench.store.files import make_folder, write_atomically
from workbench.store.png import encode_picture, read_picture
from workbench.store.tables import PictureRow
from workbench.store.thumbnails import Thumbnails

if TYPE_CHECKING:
    import pandas

HISTORY = 50  # pictures that the speed and size estimates look back on: enough to be steady, recent enough to be true


@dataclass(frozen=True, slots=True)
class Stored:
    """One picture in the store."""

    digest: str
    path: Path
    recipe: Recipe  # all fields filled
    weights: str  # SHA-256 over the model's files
    created: datetime  # UTC
    seconds: dict[str, float]  # by stage
    warnings: tuple[str, ...] = ()
    adapter_weights: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    peak_bytes: int = 0
    file_bytes: int = 0

    def open(self) -> Image:
        """The picture, RGB, 8 bits a channel.

        Raises:
            StoreError: the file is gone or damaged.
        """
        return read_picture(self.path)[0]


def work_units(recipe: Recipe) -> float:
    """Size of the work in a resolved recipe: steps x megapixels x passes, of which guidance and samplers may need two.

    References count like the picture, as their tokens go through every step; steps that a strength leaves out do not.
    """
    passes = (2 if (recipe.guidance_scale or 0) > 1 else 1) * PASSES.get(recipe.sampler, 1)
    steps = recipe.steps or 0
    if recipe.image is not None:
        steps -= first_step(steps, recipe.strength or 0.0)
    sizes = [(recipe.width or 0, recipe.height or 0), *(reference.pixels for reference in recipe.references)]
    return steps * passes * sum(width * height for width, height in sizes) / 1e6


class Store:
    """The pictures of one home folder.

    Args:
        home: folder of `pictures/` and the database; made when it is missing.
        database: SQLAlchemy URL; None for the SQLite file `workbench.sqlite` in `home`.

    Raises:
        SettingsError: the URL cannot be used.
        StoreError: the folder or the database cannot be written.
    """

    def __init__(self, home: Path, database: str | None = None) -> None:
        self.home = Path(home)
        self.pictures = self.home / "pictures"
        make_folder(self.pictures)
        self._thumbnails = Thumbnails(self.home)
        self._engine = open_database(self.home, database)
        weakref.finalize(self, self._engine.dispose)  # connections are closed with the store, not when Python likes
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A database session whose changes are kept when the block ends well, and undone when it raises.

        Raises:
            StoreError: the database is full, locked, read-only or damaged.
        """
        with explained(self._engine), self._sessions.begin() as session:
            yield session

    def path(self, digest: str) -> Path:
        """Where the picture of `digest` lies, or would lie."""
        return self.pictures / digest[:2] / f"{digest}.png"

    def get(self, digest: str) -> Stored | None:
        """The stored picture, or None. A row whose file is gone counts as not stored."""
        if not self.path(digest).is_file():
            return None
        with explained(self._engine), self._sessions() as session:
            row = session.get(PictureRow, digest)
        return self._stored(row) if row else self._restore(digest)

    def known(self, digests: Iterable[str]) -> set[str]:
        """Those of `digests` whose file is there."""
        return {digest for digest in set(digests) if self.path(digest).is_file()}

    def add(self, result: Result) -> Stored:
        """Keep a finished picture: file first, then row.

        Raises:
            ValueError: the result holds no picture.
            StoreError: the disk is full, the folder is read-only, the database cannot be written.
        """
        if result.picture is None or result.resolved is None:
            raise ValueError("only a result with a picture can be stored")
        return self.keep(result.picture, self._metadata(result))

    def keep(self, picture: Image, metadata: dict[str, Any]) -> Stored:
        """Keep a picture and what is known of it: file first, then row.

        Args:
            picture: RGB.
            metadata: what a drawn picture's file says: digest, recipe with all fields filled, weights, ...; with an
                `operation` for one that was not drawn from its recipe.

        Raises:
            KeyError: the metadata lacks something.
            StoreError: as `add`.
        """
        digest = str(metadata["digest"])
        path = self.path(digest)
        data = encode_picture(picture, metadata)
        row = _row(metadata, len(data))
        make_folder(path.parent)
        write_atomically(path, data)
        self._write(row, _content(picture))
        self._thumbnails.make(digest, picture)  # now, as the pixels are at hand: decoding takes longest
        return self._stored(row)

    def recent(self, limit: int = 20) -> list[Stored]:
        """The newest pictures first, at most `limit`, without those whose file is gone."""
        query = select(PictureRow).order_by(PictureRow.created.desc(), PictureRow.digest)
        found: list[Stored] = []
        with explained(self._engine), self._sessions() as session:
            for row in session.scalars(query.execution_options(yield_per=100)):
                if len(found) >= limit:
                    break
                if self.path(row.digest).is_file():
                    found.append(self._stored(row))
        return found

    def frame(self) -> pandas.DataFrame:
        """One row per stored picture, newest first: recipe fields, weights, seconds, path."""
        import pandas as pd

        columns = ["digest", "created", "weights", *Recipe.model_fields, "seconds", "warnings", "path"]
        rows = [
            picture.recipe.model_dump(mode="json")
            | {
                "digest": picture.digest,
                "created": picture.created,
                "weights": picture.weights,
                "seconds": sum(picture.seconds.values()),
                "warnings": list(picture.warnings),
                "path": str(picture.path),
            }
            for picture in self.recent(limit=2**62)
        ]
        return pd.DataFrame(rows, columns=columns)

    def seconds_per_unit(self, model: str) -> float | None:
        """Median seconds per work unit (see `work_units`) over the latest pictures of a model, without its loading.

        Args:
            model: a model's name, or the fingerprint of its weights.

        Returns:
            Seconds per step and megapixel (and pass), or None when nothing was made with that model yet.
        """
        rows = self._history(model)
        rates = [
            sum(spent for stage, spent in row.seconds.items() if stage != "load") / units
            for row in rows
            if row.seconds and (units := work_units(Recipe.parse(row.recipe)))
        ]
        return median(rates) if rates else None

    def bytes_per_pixel(self, model: str) -> float | None:
        """Median size of the latest files of a model, in bytes per pixel, or None when there are none."""
        rates = [row.file_bytes / (row.width * row.height) for row in self._history(model)]
        return median(rates) if rates else None

    def _history(self, model: str) -> list[PictureRow]:
        query = (
            select(PictureRow)
            .where((PictureRow.weights == model) | (PictureRow.model == model))
            .order_by(PictureRow.created.desc())
            .limit(HISTORY)
        )
        with explained(self._engine), self._sessions() as session:
            rows = list(session.scalars(query))
        return [row for row in rows if "operation" not in row.environment]  # what was enlarged took another time

    def _write(self, row: PictureRow, content: str) -> None:
        for attempt in range(3):
            try:
                with explained(self._engine), self._sessions.begin() as session:
                    # Deleting first takes the write lock at once: no read that another writer could make stale.
                    session.execute(delete(PictureRow).where(PictureRow.digest == row.digest))
                    session.add(_copy(row))
                    write_facts(session, row, content)
            except StoreError as error:
                # Another process put the same digest there between the two statements (not possible in SQLite).
                if attempt == 2 or not isinstance(error.__cause__, IntegrityError):
                    raise
            else:
                return

    def _restore(self, digest: str) -> Stored | None:
        """Index a file that lost its row; None when the file does not say that it is that picture."""
        path = self.path(digest)
        try:
            picture, metadata = read_picture(path)
            row = _row(metadata, path.stat().st_size)
        except (StoreError, OSError, KeyError, TypeError, ValueError):
            return None
        if row.digest != digest:
            return None
        self._write(row, _content(picture))
        return self._stored(row)

    def _stored(self, row: PictureRow) -> Stored:
        return Stored(
            digest=row.digest,
            path=self.path(row.digest),
            recipe=Recipe.parse(row.recipe),
            weights=row.weights,
            created=row.created,
            seconds=dict(row.seconds),
            warnings=tuple(row.warnings),
            adapter_weights=tuple(row.adapter_weights),
            environment=dict(row.environment),
            fallbacks=tuple(row.fallbacks),
            peak_bytes=row.peak_bytes,
            file_bytes=row.file_bytes,
        )

    @staticmethod
    def _metadata(result: Result) -> dict[str, Any]:
        from workbench import __version__

        resolved = result.resolved
        assert resolved is not None
        return {
            "format": 1,
            "version": __version__,
            "created": datetime.now(UTC).isoformat(),
            "digest": resolved.digest,
            "recipe": resolved.recipe.model_dump(mode="json"),
            "weights": resolved.weights,
            "adapter_weights": list(resolved.adapter_weights),
            "seconds": dict(result.seconds),
            "environment": dict(result.environment),
            "warnings": list(result.warnings),
            "fallbacks": list(result.fallbacks),
            "peak_bytes": result.peak_bytes,
        } | ({"caption": result.caption, "companions": resolved.companions} if result.caption else {})


def _row(metadata: dict[str, Any], file_bytes: int) -> PictureRow:
    """The row that a picture's metadata asks for; KeyError when it is not metadata of ours."""
    recipe = metadata["recipe"]
    return PictureRow(
        digest=metadata["digest"],
        created=datetime.fromisoformat(metadata["created"]),
        weights=metadata["weights"],
        recipe=recipe,
        adapter_weights=metadata["adapter_weights"],
        seconds=metadata["seconds"],
        environment=metadata["environment"],
        warnings=metadata["warnings"],
        fallbacks=metadata["fallbacks"],
        peak_bytes=metadata["peak_bytes"],
        file_bytes=file_bytes,
        **{name: recipe[name] for name in ("model", "prompt", "seed", "width", "height", "steps", "guidance_scale")},
    )


def _content(picture: Image) -> str:
    """The digest under which the picture would be an input of others."""
    from workbench.models.inputs import content_digest  # the models are no part of the store's start

    return content_digest(picture.convert("RGB"))


def _copy(row: PictureRow) -> PictureRow:
    """A row that belongs to no session yet, so that a retry can add it again."""
    return PictureRow(**{column.key: getattr(row, column.key) for column in PictureRow.__table__.columns})
