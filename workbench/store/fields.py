"""The fields of a gallery query: their names, what kind of value they take, and how such a value is read.

A field that a recipe has and this table has not (a later release may add some) is searched in the recipe itself, slower
but with the same words; so is `environment.NAME`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from workbench.errors import nearest
from workbench.recipe import Recipe

Kind = Literal["text", "words", "number", "moment", "size", "name", "flag", "digest"]

ORDERED: tuple[str, ...] = (":", "=", "!=", "<", "<=", ">", ">=")
NAMED: tuple[str, ...] = (":", "=", "!=")
CONTAINED: tuple[str, ...] = (":",)
FLAGS = ("star", "note", "tag", "board", "score", "adapter", "edit", "trash")
_RELATIVE = re.compile(r"(\d{1,5})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_FORMS = (
    ("%Y", "year"), ("%Y-%m", "month"), ("%Y-%m-%d", "day"), ("%Y-%m-%dT%H:%M", "minute"),
    ("%Y-%m-%dT%H:%M:%S", "second"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that can be asked for."""

    name: str  # as queries are printed
    kind: Kind
    about: str
    column: str = ""  # of the gallery table; empty for those with a rule of their own
    operators: tuple[str, ...] = ORDERED


def _table() -> dict[str, Field]:
    fields = [
        Field("model", "text", "Model name: part of it, or with = all of it.", "model", NAMED),
        Field("prompt", "words", "Part of the prompt.", "prompt", CONTAINED),
        Field("negative", "words", "Part of the negative prompt.", "negative_prompt", CONTAINED),
        Field("note", "words", "Part of the note.", "note_words", CONTAINED),
        Field(
            "adapter", "name", "Name of an adapter: part of it, or with = all; or the start of its digest.", "", NAMED
        ),
        Field("tag", "name", "A tag; * stands for any characters.", "", NAMED),
        Field("board", "name", "A board; * stands for any characters.", "", NAMED),
        Field("source", "digest", "Start of the digest of a reference, image or mask.", "", CONTAINED),
        Field("digest", "digest", "Start of the picture's digest.", "digest", CONTAINED),
        Field("weights", "digest", "Start of the digest of the model's weights.", "weights", CONTAINED),
        Field("task", "text", "What the model was asked to do.", "task", NAMED),
        Field("precision", "text", "Arithmetic of the transformer.", "precision", NAMED),
        Field("seed", "number", "Seed.", "seed"),
        Field("steps", "number", "Denoising steps.", "steps"),
        Field("width", "number", "Width in pixels.", "width"),
        Field("height", "number", "Height in pixels.", "height"),
        Field("size", "size", "Width x height in pixels, as 1024x768.", "", NAMED),
        Field("guidance", "number", "Guidance scale.", "guidance_scale"),
        Field("strength", "number", "How much of an image was drawn anew.", "strength"),
        Field("shift", "number", "Time shift of the noise levels.", "shift"),
        Field("seconds", "number", "Time that making it took.", "seconds"),
        Field("bytes", "number", "Size of the file.", "file_bytes"),
        Field(
            "created", "moment", "When it was made: 2026, 2026-11, 2026-11-01, 2026-11-01T15:30, today, 7d.", "created"
        ),
        Field("is", "flag", f"One of: {', '.join(FLAGS)}.", "", CONTAINED),
    ]
    return {field.name: field for field in fields}


FIELDS = _table()
ALIASES = {"guidance_scale": "guidance", "negative_prompt": "negative", "lora": "adapter", "name": "adapter"}
PREFIXES = {
    "score": Field("score.", "number", "A score: score.SCORER, score.METRIC or score.SCORER.METRIC."),
    "adapter": Field("adapter.", "number", "Weight of an adapter of that very name."),
    "environment": Field("environment.", "text", "An entry of the environment, such as environment.torch.", "", NAMED),
}
_COLUMNS = {field.column for field in FIELDS.values() if field.column} | {"model", "adapters", "references"}


def find_field(name: str) -> Field:
    """The field called `name`.

    Raises:
        KeyError: there is none; the argument is a remedy.
    """
    name = ALIASES.get(name, name)
    if name in FIELDS:
        return FIELDS[name]
    start, dot, rest = name.partition(".")
    if dot and rest and start in PREFIXES:
        field = PREFIXES[start]
        return Field(name, field.kind, field.about, field.column, field.operators)
    if name in Recipe.model_fields and name not in _COLUMNS:
        about = Recipe.model_fields[name].description or ""
        return Field(name, *(("number", about) if _is_number(name) else ("text", about, "", NAMED)))
    known = {*FIELDS, *ALIASES, *(f"{each}.NAME" for each in PREFIXES)}
    raise KeyError(nearest(name, known))


def _is_number(name: str) -> bool:
    schema = Recipe.model_json_schema()["properties"][name]
    return any(part.get("type") in ("integer", "number") for part in schema.get("anyOf", [schema]))


def read_value(field: Field, text: str) -> Any:
    """A value as it is compared.

    Returns:
        A folded text; a float or int; (start, end) of a moment, end exclusive; (width, height).

    Raises:
        ValueError: `text` is no value of that kind; the argument says what would be one.
    """
    return _READERS[field.kind](text)


def _number(text: str) -> float | int:
    try:
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else _finite(float(text))
    except ValueError:
        raise ValueError("a number is needed, such as 8 or 0.5") from None


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError
    return number


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})[xX×](\d{1,6})", text)
    if match is None:
        raise ValueError("a size is needed, such as 1024x768")
    return int(match[1]), int(match[2])


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{1,64}", text):
        raise ValueError("the first hexadecimal digits of a digest are needed")
    return text.lower()


def _flag(text: str) -> str:
    if text.casefold() not in FLAGS:
        raise ValueError(f"one of {', '.join(FLAGS)} is needed")
    return text.casefold()


def _text(text: str) -> str:
    if not text:
        raise ValueError("a text is needed")
    return text


def _folded(text: str) -> str:
    return _text(text).casefold()


def _moment(text: str) -> tuple[datetime, datetime]:
    """Start and end (exclusive) of a period of local time, in UTC; `7d` is the time since seven days ago."""
    now = datetime.now().astimezone()
    if relative := _RELATIVE.fullmatch(text.lower()):
        return _utc(now - int(relative[1]) * _UNITS[relative[2]]), _utc(now - int(relative[1]) * _UNITS[relative[2]])
    if text.lower() in ("today", "yesterday"):
        day = now.date() - timedelta(days=text.lower() == "yesterday")
        return _local(datetime.combine(day, time())), _local(datetime.combine(day + timedelta(days=1), time()))
    for form, unit in _FORMS:
        try:
            start = datetime.strptime(text, form)  # noqa: DTZ007 - local time, as people mean it
            return _local(start), _local(_after(start, unit))
        except (ValueError, OverflowError):
            continue
    raise ValueError("a time is needed: 2026, 2026-11, 2026-11-01, 2026-11-01T15:30, today, yesterday, 12h, 7d or 2w")


def _after(start: datetime, unit: str) -> datetime:
    if unit == "year":
        return start.replace(year=start.year + 1)
    if unit == "month":
        return datetime.combine(date(start.year + start.month // 12, start.month % 12 + 1, 1), time())
    return start + {"day": timedelta(days=1), "minute": timedelta(minutes=1), "second": timedelta(seconds=1)}[unit]


def _local(moment: datetime) -> datetime:
    return moment.astimezone().astimezone(UTC)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


_READERS: dict[Kind, Callable[[str], Any]] = {
    "text": _text,
    "words": _folded,
    "name": _folded,
    "number": _number,
    "moment": _moment,
    "size": _size,
    "digest": _digest,
    "flag": _flag,
}
