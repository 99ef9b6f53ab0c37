"""What scorers said of pictures, kept where the gallery can search for it.

The evaluations call `keep_scores`; the store knows no scorer. The latest value of a metric replaces the one before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from workbench.store.gallery_tables import GalleryRow, ScoreRow

if TYPE_CHECKING:
    from workbench.store.store import Store

CHUNK = 400  # digests in one statement


def keep_scores(store: Store, scorer: str, version: str, scores: Mapping[str, Mapping[str, float | None]]) -> int:
    """Keep what one scorer said of some pictures.

    The first metric is the scorer's main one: `score.SCORER` in a query means it.

    Args:
        store: where the pictures are.
        scorer: name of the scorer.
        version: changes with anything that can change a value.
        scores: by the picture's digest, value by metric; None and values that are not finite are left out.

    Returns:
        How many values were kept; pictures that the store does not know are left out.

    Raises:
        StoreError: the database cannot be written.
    """
    digests, now, kept = list(scores), datetime.now(UTC), 0
    with store.transaction() as session:
        for start in range(0, len(digests), CHUNK):
            part = digests[start : start + CHUNK]
            known = session.execute(select(GalleryRow.digest, GalleryRow.id).where(GalleryRow.digest.in_(part)))
            rows = [
                {
                    "picture": picture, "scorer": scorer, "metric": metric, "version": version, "value": value,
                    "created": now,
                }
                for digest, picture in known
                for metric, value in _named(scores[digest]).items()
            ]  # fmt: skip
            if rows:
                pictures = {row["picture"] for row in rows}
                session.execute(delete(ScoreRow).where(ScoreRow.scorer == scorer, ScoreRow.picture.in_(pictures)))
                session.execute(insert(ScoreRow), rows)
                kept += sum(row["metric"] != "" for row in rows)
    return kept


def _named(values: Mapping[str, float | None]) -> dict[str, float]:
    """The values that are numbers, and the main one once more under the empty name."""
    found = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
    main = next(iter(values), None)
    return found | ({"": found[main]} if main in found else {})
