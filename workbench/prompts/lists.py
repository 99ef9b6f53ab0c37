"""Prompt lists from files: a text file with one prompt a line, CSV, JSON, JSON lines or YAML."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from workbench.prompts.errors import DynamicPromptError
from workbench.prompts.wildcards import MAX_BYTES

MAX_PROMPTS = 100_000


def read_prompts(path: str | Path) -> list[str]:
    r"""The prompts of a file, in order.

    `.txt`: one a line; empty lines and lines that begin with `#` say nothing, `\#` begins a prompt with `#`. `.csv`: the
    column `prompt`. `.json`, `.jsonl`, `.yaml`: a list of texts, or of objects with a `prompt`.

    Raises:
        DynamicPromptError: the file is missing, of another kind, too large, or holds no prompts.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DynamicPromptError(f"Cannot read {str(path)!r}: {error}.", "Check the path; save it as UTF-8.") from None
    if len(data) > MAX_BYTES:
        raise DynamicPromptError(f"{str(path)!r} is larger than {MAX_BYTES} bytes.", "Split it.")
    try:
        prompts = _READERS[path.suffix.lower()](text)
    except KeyError:
        known = ", ".join(_READERS)
        raise DynamicPromptError(f"{str(path)!r} is no list of prompts.", f"Give one of {known}.") from None
    except (ValueError, yaml.YAMLError, RecursionError, csv.Error) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DynamicPromptError(f"Cannot read {str(path)!r}: {reason}.", "Correct the file.") from None
    if not prompts or len(prompts) > MAX_PROMPTS:
        raise DynamicPromptError(f"{str(path)!r} holds {len(prompts)} prompts.", f"Give 1 to {MAX_PROMPTS}.")
    return prompts


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    return [line.removeprefix("\\") if line.startswith("\\#") else line for line in lines if line and line[0] != "#"]


def _table(text: str) -> list[str]:
    rows = csv.DictReader(io.StringIO(text), strict=True)
    if "prompt" not in (rows.fieldnames or ()):
        raise ValueError("it has no column 'prompt'")
    return [row["prompt"] for row in rows if row["prompt"]]


def _json_lines(text: str) -> list[str]:
    return _texts([json.loads(line) for line in text.splitlines() if line.strip()])


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list):
        raise ValueError("it is no list")  # noqa: TRY004  # the file is wrong, not the program
    found: list[str] = []
    for index, value in enumerate(values):
        prompt = value.get("prompt") if isinstance(value, dict) else value
        if not isinstance(prompt, str) or not prompt:
            raise ValueError(f"entry {index + 1} is no prompt")
        found.append(prompt)
    return found


def _json(text: str) -> list[str]:
    return _texts(json.loads(text))


def _yaml(text: str) -> list[str]:
    return _texts(yaml.safe_load(text))


_READERS: dict[str, Callable[[str], list[str]]] = {
    ".txt": _lines,
    ".csv": _table,
    ".json": _json,
    ".jsonl": _json_lines,
    ".yaml": _yaml,
    ".yml": _yaml,
}
