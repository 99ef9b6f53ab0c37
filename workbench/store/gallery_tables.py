"""The tables that the gallery searches: narrow rows, so that a hundred thousand pictures are scanned in milliseconds.

`gallery` has one row for each row of `pictures`: what a query compares, texts case-folded, and the marks that people
make (star, note, trash). It is updated in place when a picture is made again, so that marks and ids stay. Texts are
indexed by triples of characters in `gallery_words` (SQLite's FTS5), which triggers keep up to date; see the migration.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from workbench.store.tables import Base


class GalleryRow(Base):
    """What is searched and marked of one picture."""

    __tablename__ = "gallery"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime]
    model: Mapped[str] = mapped_column(Text)
    weights: Mapped[str] = mapped_column(String(64))  # SHA-256 over the model's files
    task: Mapped[str | None] = mapped_column(Text)
    precision: Mapped[str | None] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int] = mapped_column(Integer)  # pixels
    height: Mapped[int] = mapped_column(Integer)  # pixels
    steps: Mapped[int] = mapped_column(Integer)
    guidance_scale: Mapped[float] = mapped_column(Float)
    strength: Mapped[float | None] = mapped_column(Float)
    shift: Mapped[float | None] = mapped_column(Float)
    seconds: Mapped[float] = mapped_column(Float)  # all stages together
    file_bytes: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[str | None] = mapped_column(String(64))  # of the pixels, as inputs are named; None: not yet known
    starred: Mapped[bool] = mapped_column(server_default=false(), default=False)
    trashed: Mapped[datetime | None]
    prompt: Mapped[str] = mapped_column(Text)  # case-folded, as the two below
    negative_prompt: Mapped[str] = mapped_column(Text)
    note_words: Mapped[str] = mapped_column(Text, server_default="", default="")
    note: Mapped[str] = mapped_column(Text, server_default="", default="")  # as written

    __table_args__ = (
        # In the order of the gallery and with all that is compared often: searches read it instead of the wider rows.
        Index(
            "ix_gallery_scan",
            "trashed",
            "created",
            "id",
            "starred",
            "model",
            "steps",
            "seed",
            "width",
            "height",
            "guidance_scale",
            "seconds",
        ),
        Index("ix_gallery_starred", "starred", "created"),
        Index("ix_gallery_seed", "seed"),
        Index("ix_gallery_content", "content"),
    )


class AdapterRow(Base):
    """One adapter of one picture."""

    __tablename__ = "gallery_adapters"

    picture: Mapped[int] = mapped_column(ForeignKey("gallery.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Text)  # as the recipe says: a name in the catalog, or a path
    folded: Mapped[str] = mapped_column(Text)  # the name, case-folded
    weight: Mapped[float] = mapped_column(Float)
    fingerprint: Mapped[str] = mapped_column(String(64))  # SHA-256 of the file

    __table_args__ = (Index("ix_gallery_adapters_folded", "folded"), Index("ix_gallery_adapters_file", "fingerprint"))


class SourceRow(Base):
    """One picture that another one was made from."""

    __tablename__ = "gallery_sources"

    picture: Mapped[int] = mapped_column(ForeignKey("gallery.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    role: Mapped[str] = mapped_column(String(20))  # reference, image, mask, control or redux
    content: Mapped[str] = mapped_column(String(64))  # digest of the input

    __table_args__ = (Index("ix_gallery_sources_content", "content"),)


class TagRow(Base):
    """One tag of one picture."""

    __tablename__ = "gallery_tags"

    tag: Mapped[str] = mapped_column(String(200), primary_key=True)  # case-folded
    picture: Mapped[int] = mapped_column(ForeignKey("gallery.id"), primary_key=True)

    __table_args__ = (Index("ix_gallery_tags_picture", "picture"),)


class BoardRow(Base):
    """A named collection of pictures."""

    __tablename__ = "gallery_boards"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    folded: Mapped[str] = mapped_column(String(200), unique=True)  # two boards may not differ by case alone
    created: Mapped[datetime]


class BoardPictureRow(Base):
    """One picture on one board; a picture may be on several."""

    __tablename__ = "gallery_board_pictures"

    board: Mapped[int] = mapped_column(ForeignKey("gallery_boards.id"), primary_key=True)
    picture: Mapped[int] = mapped_column(ForeignKey("gallery.id"), primary_key=True)
    added: Mapped[datetime]

    __table_args__ = (Index("ix_gallery_board_pictures_picture", "picture"),)


class ScoreRow(Base):
    """The latest value of one metric for one picture."""

    __tablename__ = "gallery_scores"

    picture: Mapped[int] = mapped_column(ForeignKey("gallery.id"), primary_key=True)
    scorer: Mapped[str] = mapped_column(String(200), primary_key=True)
    metric: Mapped[str] = mapped_column(String(200), primary_key=True)
    version: Mapped[str] = mapped_column(String(400))
    value: Mapped[float] = mapped_column(Float)
    created: Mapped[datetime]

    __table_args__ = (Index("ix_gallery_scores_value", "metric", "scorer", "value", "picture"),)
