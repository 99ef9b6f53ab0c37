"""The tables of the index. The files are the truth; a row repeats what is searched, sorted or averaged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database: aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables of the workbench's database."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, datetime: UtcDateTime}  # noqa: RUF012


class PictureRow(Base):
    """One stored picture."""

    __tablename__ = "pictures"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    created: Mapped[datetime] = mapped_column(index=True)
    model: Mapped[str] = mapped_column(Text)
    weights: Mapped[str] = mapped_column(String(64))
    prompt: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int] = mapped_column(Integer)  # pixels
    height: Mapped[int] = mapped_column(Integer)  # pixels
    steps: Mapped[int] = mapped_column(Integer)
    guidance_scale: Mapped[float] = mapped_column(Float)
    recipe: Mapped[dict[str, Any]]  # all fields, filled
    adapter_weights: Mapped[list[str]]
    seconds: Mapped[dict[str, Any]]  # by stage
    environment: Mapped[dict[str, Any]]
    warnings: Mapped[list[str]]
    fallbacks: Mapped[list[str]]
    peak_bytes: Mapped[int] = mapped_column(BigInteger)
    file_bytes: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_pictures_weights_created", "weights", "created"),)
