"""What the gallery knows of a picture, taken from its row of the index and kept in step with it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from workbench.store.gallery_tables import AdapterRow, GalleryRow, SourceRow
from workbench.store.tables import PictureRow

_SAME = ("digest", "created", "model", "weights", "seed", "width", "height", "steps", "guidance_scale", "file_bytes")
_OPTIONAL = ("task", "precision", "strength", "shift")


def write_facts(session: Session, row: PictureRow, content: str | None) -> None:
    """Make or renew the gallery's rows of a picture. Stars, tags, notes, boards and scores stay; trash ends.

    Args:
        session: in a transaction, which the caller commits.
        row: the picture's row of the index.
        content: digest of its pixels, as `workbench.models.inputs.content_digest` makes it; None leaves it open.
    """
    values = fact_values(row) | {"content": content, "trashed": None}
    known = session.scalar(select(GalleryRow.id).where(GalleryRow.digest == row.digest))
    if known is None:
        known = session.execute(insert(GalleryRow).values(**values).returning(GalleryRow.id)).scalar_one()
    else:
        session.execute(update(GalleryRow).where(GalleryRow.id == known).values(**values))
        for table in (AdapterRow, SourceRow):
            session.execute(delete(table).where(table.picture == known))
    if adapters := adapter_rows(known, row):
        session.execute(insert(AdapterRow), adapters)
    if sources := source_rows(known, row):
        session.execute(insert(SourceRow), sources)


def adapter_rows(picture: int, row: PictureRow) -> list[dict[str, Any]]:
    """The picture's adapters in order."""
    pairs = zip(row.recipe.get("adapters") or (), row.adapter_weights, strict=True)
    return [
        {
            "picture": picture, "position": position, "name": adapter["name"], "folded": adapter["name"].casefold(),
            "weight": adapter["weight"], "fingerprint": fingerprint,
        }
        for position, (adapter, fingerprint) in enumerate(pairs)
    ]  # fmt: skip


def source_rows(picture: int, row: PictureRow) -> list[dict[str, Any]]:
    """The pictures that it was made from: references in order, then image, mask and control, then those of Redux."""
    found = [("reference", each["picture"]) for each in row.recipe.get("references") or ()]
    found += [(role, row.recipe[role]) for role in ("image", "mask", "control") if row.recipe.get(role)]
    found += [("redux", each["picture"]) for each in row.recipe.get("redux") or ()]
    return [
        {"picture": picture, "position": position, "role": role, "content": content}
        for position, (role, content) in enumerate(found)
    ]


def fact_values(row: PictureRow) -> dict[str, Any]:
    """The columns of `gallery` that come from the picture itself, but for the digest of its pixels."""
    recipe = row.recipe
    return {
        **{name: getattr(row, name) for name in _SAME},
        **{name: recipe.get(name) for name in _OPTIONAL},
        "seconds": float(sum(row.seconds.values())),
        "prompt": row.prompt.casefold(),
        "negative_prompt": (recipe.get("negative_prompt") or "").casefold(),
    }
