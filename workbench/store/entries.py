"""Pictures as the gallery shows them: the store's facts together with what people and scorers said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.recipe import Recipe
from workbench.store.gallery_tables import BoardPictureRow, BoardRow, GalleryRow, ScoreRow, TagRow
from workbench.store.tables import PictureRow

CHUNK = 400  # keys in one statement


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of the gallery."""

    digest: str
    path: Path  # of the picture; in the trash when it is there
    recipe: Recipe  # all fields filled
    created: datetime  # UTC
    seconds: float  # all stages together
    weights: str  # SHA-256 over the model's files
    adapter_weights: tuple[str, ...]
    starred: bool
    tags: tuple[str, ...]
    boards: tuple[str, ...]
    note: str
    scores: dict[str, float]  # "scorer.metric" -> latest value
    trashed: datetime | None  # when it was deleted

    @property
    def title(self) -> str:
        """One line: prompt, seed, model."""
        return (
            f"{' '.join(self.recipe.prompt.split()) or '(no prompt)'} · seed {self.recipe.seed} · {self.recipe.model}"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "digest": self.digest,
            "path": str(self.path),
            "created": self.created.isoformat(),
            "seconds": self.seconds,
            "weights": self.weights,
            "adapter_weights": list(self.adapter_weights),
            "starred": self.starred,
            "tags": list(self.tags),
            "boards": list(self.boards),
            "note": self.note,
            "scores": self.scores,
            "trashed": self.trashed.isoformat() if self.trashed else None,
            "recipe": self.recipe.model_dump(mode="json"),
        }


def read_entries(session: Session, ids: Sequence[int], places: tuple[Path, Path]) -> list[Entry]:
    """The entries of some rows, in that order.

    Args:
        session: of the store's database.
        ids: of rows in `gallery`.
        places: folders of the pictures and of the trash.
    """
    found: dict[int, Entry] = {}
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        tags = _lists(session, select(TagRow.picture, TagRow.tag).where(TagRow.picture.in_(part)))
        boards = _lists(
            session,
            select(BoardPictureRow.picture, BoardRow.name)
            .join(BoardRow, BoardRow.id == BoardPictureRow.board)
            .where(BoardPictureRow.picture.in_(part)),
        )
        scores: dict[int, dict[str, float]] = defaultdict(dict)
        asked = select(ScoreRow.picture, ScoreRow.scorer, ScoreRow.metric, ScoreRow.value)
        for picture, scorer, metric, value in session.execute(
            asked.where(ScoreRow.picture.in_(part), ScoreRow.metric != "").order_by(ScoreRow.scorer, ScoreRow.metric)
        ):
            scores[picture][f"{scorer}.{metric}"] = value
        columns = (PictureRow.recipe, PictureRow.adapter_weights)
        rows = select(GalleryRow, *columns).join(PictureRow, PictureRow.digest == GalleryRow.digest)
        for row, recipe, fingerprints in session.execute(rows.where(GalleryRow.id.in_(part))):
            found[row.id] = Entry(
                digest=row.digest,
                path=_place(row, places),
                recipe=Recipe.parse(recipe),
                created=row.created,
                seconds=row.seconds,
                weights=row.weights,
                adapter_weights=tuple(fingerprints),
                starred=row.starred,
                tags=tuple(sorted(tags[row.id])),
                boards=tuple(sorted(boards[row.id], key=str.casefold)),
                note=row.note,
                scores=scores[row.id],
                trashed=row.trashed,
            )
    return [found[each] for each in ids if each in found]


def _place(row: GalleryRow, places: tuple[Path, Path]) -> Path:
    """Where the file is; that of a deleted picture may not have been moved yet."""
    here, trash = (place / row.digest[:2] / f"{row.digest}.png" for place in places)
    return trash if row.trashed is not None and not here.is_file() else here


def _lists(session: Session, query: Any) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for picture, name in session.execute(query):
        found[picture].append(name)
    return found
