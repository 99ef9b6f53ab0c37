"""The gallery as a table for pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from workbench.recipe import Recipe
from workbench.store.entries import read_entries

if TYPE_CHECKING:
    import pandas

    from workbench.store.gallery import Gallery


def gallery_frame(gallery: Gallery, query: str = "") -> pandas.DataFrame:
    """One row per picture that a query finds, newest first, with `digest` as the index.

    Columns: the recipe's fields, `created` (UTC), `seconds`, `starred`, `tags`, `boards`, `note`, `weights`, `path`, and
    `score.SCORER.METRIC` for every metric that one of them has (empty where it has none).

    Raises:
        QueryError: the query cannot be read.
    """
    import pandas as pd

    from workbench.store.gallery_tables import GalleryRow
    from workbench.store.query import parse

    with gallery.store.transaction() as session:
        rows = select(GalleryRow.id).where(gallery.condition(parse(query)))
        ids = list(session.scalars(rows.order_by(GalleryRow.created.desc(), GalleryRow.id.desc())))
        entries = read_entries(session, ids, gallery.places)
    columns = ["created", *Recipe.model_fields, "seconds", "starred", "tags", "boards", "note", "weights", "path"]
    scores = sorted({name for entry in entries for name in entry.scores})
    values = [
        entry.recipe.model_dump(mode="json")
        | {
            "digest": entry.digest,
            "created": entry.created,
            "seconds": entry.seconds,
            "starred": entry.starred,
            "tags": list(entry.tags),
            "boards": list(entry.boards),
            "note": entry.note,
            "weights": entry.weights,
            "path": str(entry.path),
        }
        | {f"score.{name}": value for name, value in entry.scores.items()}
        for entry in entries
    ]
    return pd.DataFrame(values, columns=["digest", *columns, *(f"score.{name}" for name in scores)]).set_index("digest")
