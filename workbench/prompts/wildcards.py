"""Wildcard files: `__name__` in a prompt stands for one of the lines of `name.txt`, or of a list in a YAML file."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import nearest
from workbench.prompts.errors import DynamicPromptError

FOLDER = "wildcards"  # in the workbench's home
MAX_BYTES = 4 * 2**20  # of one file
MAX_FILES = 5000
MAX_LINES = 100_000  # of all wildcards of one name
_WEIGHT = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*::\s*")


class Wildcards:
    """The wildcards of one folder.

    `colours.txt` is `__colours__`, `clothes/hats.txt` is `__clothes/hats__`. In a YAML file the keys are the path
    (`clothes: {hats: [cap, beret]}`), and a file that is a list takes its own name. `*` stands for any part of a name.
    Lines may hold choices and wildcards themselves, and a weight in front (`3::red`). Empty lines and lines that begin
    with `#` say nothing.

    Args:
        folder: where the files are; None, or a folder that is missing: there are no wildcards.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._found: dict[str, Path | list[str]] | None = None

    def names(self) -> list[str]:
        """All names, sorted.

        Raises:
            DynamicPromptError: a YAML file cannot be read, or there are too many files.
        """
        return sorted(self._index())

    def lines(self, name: str) -> list[tuple[str, float]]:
        """Lines and their weights of a wildcard, or of all that match a name with `*`.

        Raises:
            DynamicPromptError: there is none, or its file cannot be read.
        """
        index = self._index()
        names = sorted(key for key in index if fnmatchcase(key, name)) if "*" in name else [name]
        if not names or names[0] not in index:
            where = f"Put a file {name}.txt into {self.folder}." if self.folder else "No folder of wildcards was given."
            remedy = nearest(name, index) if index and "*" not in name else where
            raise DynamicPromptError(f"There is no wildcard {name!r}.", remedy)
        found: list[tuple[str, float]] = []
        for key in names:
            entry = index[key]
            lines = _text(entry).splitlines() if isinstance(entry, Path) else entry
            found += [_weighted(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
            if len(found) > MAX_LINES:
                raise DynamicPromptError(f"The wildcard {name!r} has more than {MAX_LINES} lines.", "Split it.")
        return found

    def _index(self) -> dict[str, Path | list[str]]:
        if self._found is None:
            self._found = {}
            files = sorted(self.folder.rglob("*")) if self.folder and self.folder.is_dir() else []
            files = [path for path in files if path.suffix in (".txt", ".yaml", ".yml") and path.is_file()]
            if len(files) > MAX_FILES:
                raise DynamicPromptError(f"{self.folder} holds more than {MAX_FILES} files.", "Move some elsewhere.")
            for path in files:
                assert self.folder is not None
                name = path.relative_to(self.folder).with_suffix("").as_posix()
                if path.suffix == ".txt":
                    self._found[name] = path
                else:
                    self._add_yaml(path, name)
        return self._found

    def _add_yaml(self, path: Path, name: str) -> None:
        assert self._found is not None
        try:
            values = yaml.safe_load(_text(path))
        except (yaml.YAMLError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DynamicPromptError(f"Cannot read {str(path)!r}: {reason}.", "Correct the file.") from None
        waiting: list[tuple[str, Any]] = [(name if isinstance(values, list) else "", values)]
        seen = 0
        while waiting:
            key, value = waiting.pop()
            seen += 1
            if seen > MAX_LINES:  # aliases may stand for far more than the file's size
                raise DynamicPromptError(f"{str(path)!r} holds more than {MAX_LINES} entries.", "Split it.")
            if isinstance(value, dict):
                waiting += [(f"{key}/{inner}".lstrip("/"), entry) for inner, entry in value.items()]
            elif isinstance(value, list) and all(isinstance(entry, str | int | float) for entry in value):
                self._found[key] = [str(entry) for entry in value][: MAX_LINES + 1]
            elif isinstance(value, str | int | float) and key:
                self._found[key] = [str(value)]
            else:
                raise DynamicPromptError(
                    f"Cannot read {key or name!r} in {str(path)!r}: it is no list of texts.", "Write '- one' a line."
                )


def _weighted(line: str) -> tuple[str, float]:
    match = _WEIGHT.match(line)
    return (line[match.end() :].strip(), float(match[1])) if match else (line.strip(), 1.0)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise DynamicPromptError(f"{str(path)!r} is larger than {MAX_BYTES} bytes.", "Split it.")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DynamicPromptError(f"Cannot read {str(path)!r}: {error}.", "Save it as UTF-8 text.") from None
