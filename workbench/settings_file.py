"""`workbench.yaml`: settings in a file, every one with the line it stands on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import SettingsError, nearest

NAME = "workbench.yaml"
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting in a file."""

    value: Any
    path: Path
    line: int  # from 1

    @property
    def place(self) -> str:
        """File and line, for people."""
        return f"{self.path}, line {self.line}"


def read_settings(path: Path, known: Iterable[str], paths: Iterable[str]) -> dict[str, Entry]:
    """The settings in a file; an empty dictionary where there is none.

    Args:
        path: of the file.
        known: names of settings.
        paths: those that are paths; relative ones are counted from the file's folder.

    Raises:
        SettingsError: not YAML, not a mapping, an unknown or repeated setting; with file, line and the nearest right name.
    """
    known = set(known)
    node = _compose(path)
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"{path} is no list of settings.", "Write lines such as 'device: cpu'.")
    found: dict[str, Entry] = {}
    for key, value in node.value:
        where = f"{path}, line {key.start_mark.line + 1}"
        name = str(key.value)
        if name not in known:
            raise SettingsError(f"{where}: there is no setting {name!r}.", nearest(name, known))
        if name in found:
            raise SettingsError(
                f"{where}: the setting {name!r} is given twice.", f"It is on line {found[name].line} too."
            )
        plain = _plain(value, f"{where}: the setting {name!r}")
        if plain is None:
            continue  # 'device:' with nothing behind it says nothing
        if name in paths:
            plain = path.parent / Path(str(plain)).expanduser()
        found[name] = Entry(plain, path, key.start_mark.line + 1)
    return found


def _compose(path: Path) -> yaml.Node | None:
    """The file as YAML nodes, which know their lines; None where there is no file or nothing in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"Cannot read {str(path)!r}: {error.strerror}.", "Allow reading it, or move it.") from None
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{str(path)!r} is larger than {MAX_BYTES} bytes.", "A file of settings has a few lines.")
    try:
        return yaml.compose(data.decode("utf-8-sig"), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
        reason = getattr(error, "problem", None) or type(error).__name__
        raise SettingsError(f"{where} is not valid YAML: {reason}.", "Write lines such as 'device: cpu'.") from None


def _plain(node: yaml.Node, what: str) -> Any:
    """A value as Python has it."""
    if not isinstance(node, yaml.ScalarNode):
        raise SettingsError(f"{what} is no single value.", "Write it behind the colon.")
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError):
        raise SettingsError(f"{what} cannot be {node.value!r}.", "Write a plain text or number.") from None
