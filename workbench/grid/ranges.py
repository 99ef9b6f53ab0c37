"""Values written as text: `1-10 (+2)`, `1-10 [5]`, `1, 2, ..., 10`, plain lists, and texts split at `||` or commas.

Numbers are computed in decimal arithmetic, so `0-1 (+0.1)` gives exactly 0.3 and not 0.30000000000000004. How many
values a range has is computed before any of them is made.
"""

from __future__ import annotations

import csv
import re
from decimal import ROUND_HALF_UP, Decimal, localcontext

from workbench.errors import GridError

MAX_VALUES = 100_000
"""The most values that one axis can have."""

_NUMBER = r"[+-]?\s*(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*-\s*({_NUMBER})\s*(?:\(\s*({_NUMBER})\s*\)|\[\s*(\d+)\s*\])?")
_ELLIPSIS = re.compile(r"\.{2,}|…")
_EXAMPLES = "Write for example '1-10 (+2)', '1-10 [5]', '1, 2, ..., 10' or '4, 8, 28'."

Number = int | float


def parse_numbers(text: str, kind: type[int | float]) -> tuple[Number, ...]:
    """The numbers that `text` stands for, in the order written.

    Parts are separated by commas. A part is a number; `a-b (+s)`, from a in steps of s and never past b (s may be
    negative); `a-b [n]`, n values evenly from a to b, both included, integers rounded half up; `a-b`, in steps of 1; or
    `...` between numbers, which goes on in the step of the two numbers before it and must arrive at the one after it.

    Args:
        text: for example `1-10 (+2)` or `1, 2, ..., 10, 20`.
        kind: `int` refuses fractions.

    Raises:
        GridError: text that is not a number or range, a step that leads nowhere, more than `MAX_VALUES` values.
    """
    values: list[Decimal] = []
    parts = [part.strip() for part in text.split(",")]
    pending = False
    for part in parts:
        if not part:
            raise GridError(f"The values {text!r} have an empty place between commas.", _EXAMPLES)
        if _ELLIPSIS.fullmatch(part):
            if pending or not values or part is parts[-1]:
                raise GridError(f"The '...' in {text!r} must stand between two numbers.", _EXAMPLES)
            pending = True
            continue
        new = _part(part, text, kind)
        if pending:
            values += _continue(values, new[0], text)
            new, pending = new[1:], False
        values += new
        if len(values) > MAX_VALUES:
            raise _too_many(text, len(values))
    return tuple(_to(kind, value, text) for value in values)


def parse_texts(text: str) -> tuple[str, ...]:
    """The texts that `text` stands for: one a line, or separated by `||`, or else by commas (quotes protect a comma).

    Raises:
        GridError: an empty list.
    """
    if "\n" in text.strip() or "||" in text:
        parts = [part.strip() for part in re.split(r"\|\||\n", text.strip())]
    else:
        parts = [part.strip() for part in next(csv.reader([text], skipinitialspace=True), [])]
    if not parts or any(part == "" for part in parts):
        raise GridError(
            f"The list {text!r} has an empty place.", "Write 'a, b, c' or 'a || b || c'; quotes keep commas."
        )
    return tuple(parts)


def parse_prompts(text: str) -> tuple[str, ...]:
    """Like `parse_texts`, but a comma is part of the prompt: only lines and `||` separate.

    Raises:
        GridError: an empty list.
    """
    return parse_texts(text) if "\n" in text.strip() or "||" in text else (text,)


def _part(part: str, text: str, kind: type[int | float]) -> list[Decimal]:
    if re.fullmatch(_NUMBER, part):
        return [_decimal(part)]
    match = _RANGE.fullmatch(part)
    if match is None:
        what = "whole number" if kind is int else "number"
        raise GridError(f"{part!r} in {text!r} is not a {what} or a range.", _EXAMPLES)
    first, last = _decimal(match[1]), _decimal(match[2])
    if match[4] is not None:
        return _spread(first, last, int(match[4]), text, kind)
    step = _decimal(match[3]) if match[3] else Decimal(1 if last >= first else -1)
    if step == 0 or (last - first) * step < 0:
        raise GridError(f"The range {part!r} never arrives: its step is {step}.", "Give the step the sign of the way.")
    return _steps(first, last, step, text)


def _steps(first: Decimal, last: Decimal, step: Decimal, text: str) -> list[Decimal]:
    """`first`, `first + step`, ... up to and including `last`."""
    count = int((last - first) / step) + 1
    if count > MAX_VALUES:
        raise _too_many(text, count)
    return [first + step * index for index in range(count)]


def _spread(first: Decimal, last: Decimal, count: int, text: str, kind: type[int | float]) -> list[Decimal]:
    """`count` values evenly from `first` to `last`."""
    if count > MAX_VALUES:
        raise _too_many(text, count)
    if count < 2 and not (count == 1 and first == last):
        raise GridError(f"The range {text!r} needs at least 2 values to hold both ends.", _EXAMPLES)
    with localcontext() as context:
        context.prec = 15  # so that thirds come out as the float a person would type
        values = [+(first + (last - first) * index / max(1, count - 1)) for index in range(count)]
    if kind is int:
        values = [value.to_integral_value(ROUND_HALF_UP) for value in values]
        if len(set(values)) < count:
            raise GridError(f"The range {text!r} has fewer whole numbers than {count}.", "Ask for fewer values.")
    return values


def _continue(values: list[Decimal], target: Decimal, text: str) -> list[Decimal]:
    """What `...` stands for, `target` included."""
    last = values[-1]
    step = last - values[-2] if len(values) > 1 else Decimal(1 if target >= last else -1)
    if step == 0 or (target - last) * step <= 0:
        raise GridError(f"The '...' in {text!r} never arrives at {target}.", _EXAMPLES)
    if (target - last) % step:
        near = last + (target - last) // step * step
        raise GridError(
            f"The '...' in {text!r} goes in steps of {step} and misses {target}.", f"End at {near} or {near + step}."
        )
    return _steps(last, target, step, text)[1:]


def _decimal(text: str) -> Decimal:
    return Decimal(re.sub(r"\s+", "", text))


def _to(kind: type[int | float], value: Decimal, text: str) -> Number:
    if kind is float:
        return float(value)
    if value != value.to_integral_value():
        raise GridError(f"{value} in {text!r} is not a whole number.", _EXAMPLES)
    return int(value)


def _too_many(text: str, count: int) -> GridError:
    return GridError(f"The values {text!r} are {count:,}, more than an axis takes.", f"Use at most {MAX_VALUES:,}.")
