"""What loaders share: text, JSON lines and tables out of a file's bytes, with the line named where something is wrong."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from evals.suite import SuiteError


def text_of(path: Path, content: bytes) -> str:
    """The file as text; a byte order mark is no part of it.

    Raises:
        SuiteError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SuiteError(f"The file {path.name!r} is no UTF-8 text: byte {error.start}.") from None


def json_lines(path: Path, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not empty.

    Raises:
        SuiteError: a line is no JSON object.
    """
    for number, line in enumerate(text_of(path, content).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise wrong(path, number, f"no JSON ({error})") from None
        if not isinstance(row, dict):
            raise wrong(path, number, "no JSON object")
        yield number, row


def table(
    path: Path, content: bytes, columns: Sequence[str], *, delimiter: str
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of every row of a table with a head.

    Raises:
        SuiteError: a column is missing, or a row has another number of cells.
    """
    text = io.StringIO(text_of(path, content), newline="")
    # A table with tabs quotes nothing: a quotation mark there is part of a prompt.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    reader: csv.DictReader[str] = csv.DictReader(text, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise SuiteError(
                f"The file {path.name!r} has no column {missing[0]!r}; it has {', '.join(reader.fieldnames or ())[:200]}."
            )
        for row in reader:
            if None in row or None in row.values():
                raise wrong(path, reader.line_num, "another number of cells than the head")
            yield reader.line_num, row
    except csv.Error as error:
        raise wrong(path, reader.line_num, f"no table row ({error})") from None


def wrong(path: Path, line: int, why: str) -> SuiteError:
    """The error for one line of a file."""
    return SuiteError(f"The file {path.name!r} is wrong in line {line}: {why}.", "Download it again.")


def count_note(name: str, found: Counter[str], published: dict[str, int]) -> tuple[str, ...]:
    """A sentence for the suite's notes where the numbers of prompts are not the published ones."""
    if dict(found) == published:
        return ()
    different = [
        f"{kind} {found.get(kind, 0)} instead of {published.get(kind, 0)}"
        for kind in dict.fromkeys((*published, *found))
        if found.get(kind, 0) != published.get(kind, 0)
    ]
    what = ", ".join(different[:6])
    return (f"This is not the whole {name} as published: {what}. Scores are not comparable with published ones.",)
