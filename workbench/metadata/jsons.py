"""JSON from strangers: sizes, depth and numbers that break a parser become one exception."""

from __future__ import annotations

import json
from typing import Any


class Unreadable(ValueError):
    """A text is not what its name says; the message says why, for a sentence that begins elsewhere."""


def parse_json(text: str) -> Any:
    """Parse JSON, with NaN and infinities as Python tools write them.

    Raises:
        Unreadable: no JSON, nested too deeply, or a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None


def parse_object(text: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        Unreadable: as `parse_json`, or it is something else.
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        raise Unreadable("it is no object")
    return value


def parse_prefix(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at `start`, and the place behind it.

    Raises:
        Unreadable: as `parse_json`.
    """
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None
