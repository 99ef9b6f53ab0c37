"""What to train on: sources of pictures with captions, and how they become batches.

Only `path` is needed: `DataConfig.parse("photos")` reads a folder. Every field says its unit, range and default; an
unknown one is an error that names the nearest right one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from finetune.data.errors import DataConfigError
from workbench.errors import nearest

PLACEHOLDER = "[trigger]"
"""Stands for the trigger word inside a caption."""

MAX_CONFIG = 1_000_000  # bytes of a configuration file
MAX_REFERENCES = 4  # FLUX.2 takes up to four reference pictures

Kind = Literal["auto", "folder", "jsonl", "parquet", "hub"]


class Source(BaseModel):
    """One place that pictures with captions come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        min_length=1, description="A folder, a metadata .jsonl or .parquet file, or a data set on the hub (owner/name)."
    )
    kind: Kind = Field(default="auto", description="What `path` is; auto: a folder or file by its name, else the hub.")
    name: str = Field(default="", description="Name in reports and in picture ids; default: the last part of `path`.")
    split: str = Field(default="train", min_length=1, description="Split of a hub data set.")
    image_column: str = Field(default="", description="Column of the picture; default: file_name, else image.")
    caption_column: str = Field(default="text", min_length=1, description="Column of the caption (a text, or several).")
    reference_columns: tuple[str, ...] = Field(
        default=(),
        max_length=MAX_REFERENCES,
        description="Columns of the reference pictures of an edit, 1 to 4; default: source, source_2, ... where present.",
    )
    mask_column: str = Field(default="mask", min_length=1, description="Column of the mask, where present.")
    captions: Literal["whole", "lines"] = Field(
        default="whole", description="Whether a .txt file is one caption, or one caption a line, drawn at every step."
    )
    caption: str = Field(default="", description="Caption of pictures that have none of their own.")
    repeats: int = Field(default=1, ge=1, le=10_000, description="How often an epoch shows each picture, 1 to 10000.")
    weight: float = Field(
        default=1.0, gt=0, le=100, allow_inf_nan=False, description="Factor of the loss of its pictures, 0 to 100."
    )
    regularisation: bool = Field(
        default=False, description="Pictures that keep what the model knows: no trigger word, never held out."
    )


class DataConfig(BaseModel):
    """The data of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Source, ...] = Field(min_length=1, description="Where the pictures come from.")
    resolutions: tuple[int, ...] = Field(
        default=(),
        description="Sides of squares, in pixels, whose area no training picture passes; empty: the model's.",
    )
    bucket_step: int | None = Field(
        default=None, ge=8, le=512, description="Sides of buckets are multiples of this; empty: resolution / 16."
    )
    max_aspect: float = Field(
        default=4.0,
        ge=1,
        le=16,
        allow_inf_nan=False,
        description="Longest side over shortest side of a bucket, 1 to 16.",
    )
    crops: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Places that a picture is cut at: 1 is the centre, more add fixed random ones.",
    )
    flip: bool = Field(
        default=False, description="Whether pictures are also shown mirrored (never where text matters)."
    )
    reference_resolution: int | None = Field(
        default=None,
        ge=16,
        le=4096,
        description="As `resolutions`, for references of another size; empty: the bucket's.",
    )
    trigger: str = Field(default="", max_length=200, description="Trigger word that stands for what is learned.")
    trigger_template: str = Field(
        default="{trigger}, {caption}",
        description=f"Where the trigger goes in captions that have neither it nor {PLACEHOLDER}.",
    )
    caption_dropout: float = Field(
        default=0.05, ge=0, le=1, allow_inf_nan=False, description="Share of draws whose caption is empty, 0 to 1."
    )
    held_out: int = Field(
        default=0, ge=0, le=10_000, description="Pictures kept out of training, for the held-out loss; 0 to 10000."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, values: Any) -> Any:
        """A path alone, and the fields of a single source at the top level, are read as one source."""
        if isinstance(values, str):
            return {"sources": [{"path": values}]}
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        own = {name: values.pop(name) for name in Source.model_fields if name in values}
        if own and "sources" in values:
            raise ValueError(f"{', '.join(own)} and sources exclude each other: write them inside a source")
        if own:
            values["sources"] = [own]
        sources = values.get("sources")
        if isinstance(sources, (list, tuple)):
            values["sources"] = [{"path": each} if isinstance(each, str) else each for each in sources]
        return values

    @field_validator("resolutions")
    @classmethod
    def _sides(cls, sides: tuple[int, ...]) -> tuple[int, ...]:
        if any(side < 16 or side > 4096 for side in sides):
            raise ValueError("a resolution is a side of 16 to 4096 pixels")
        return tuple(sorted(set(sides)))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not {"{trigger}", "{caption}"} <= {f"{{{name}}}" for name in _fields(self.trigger_template)}:
            raise ValueError("trigger_template holds {trigger} and {caption}, each once, and no other braces")
        names = [source_name(source) for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources are named {next(n for n in names if names.count(n) > 1)!r}: give them names")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any] | str) -> Self:
        """Build a configuration from untrusted values: a path, the fields of one source, or `sources`.

        Raises:
            DataConfigError: an unknown field (with the nearest right name) or a value out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise explain(error) from None


def source_name(source: Source) -> str:
    """The name of a source in ids and reports."""
    return source.name or source.path.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1] or source.path


def explain(error: ValidationError) -> DataConfigError:
    """The first complaint of pydantic as one sentence and a remedy."""
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"]]
    where, name = ".".join(parts) or "data", parts[-1] if parts else ""
    if first["type"] == "extra_forbidden":
        known = Source.model_fields if "sources" in parts else DataConfig.model_fields | Source.model_fields
        return DataConfigError(f"The data configuration has no field {where!r}.", nearest(name, known))
    field = (Source.model_fields | DataConfig.model_fields).get(name)
    if first["type"] == "missing":
        return DataConfigError(f"The data configuration lacks {where!r}.", (field and field.description) or "")
    message = first["msg"].removeprefix("Value error, ")
    value = repr(first["input"])
    shown = value if len(value) <= 60 else f"{value[:57]}..."
    given = f" ({shown})" if parts else ""
    return DataConfigError(
        f"The data configuration is wrong at {where}{given}: {message}.", (field and field.description) or ""
    )


def _fields(template: str) -> Iterator[str]:
    """Names in braces of a format string; none at all when it is malformed or repeats one."""
    from string import Formatter

    try:
        names = [name for _, name, spec, conversion in Formatter().parse(template) if name is not None]
    except ValueError:
        return
    if sorted(names) == ["caption", "trigger"]:
        yield from names


def load_config(path: Path) -> dict[str, Any]:
    """The data configuration in a YAML file: its `data` where it is that of a whole run.

    Raises:
        DataConfigError: the file cannot be read or is no mapping.
    """
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise DataConfigError(
                f"The file {str(path)!r} is too large for a configuration.", "Give a small YAML file."
            )
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataConfigError(f"The file {str(path)!r} cannot be read: {error.strerror}.", "Check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise DataConfigError(f"The file {str(path)!r} is not valid YAML: {said}.") from None
    if isinstance(values, dict) and "data" in values:
        values = values["data"]
    if isinstance(values, str):
        values = {"path": values}
    if not isinstance(values, dict):
        raise DataConfigError(f"The file {str(path)!r} holds no data configuration.", "Write 'path: FOLDER'.")
    return values
