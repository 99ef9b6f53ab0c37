"""Temporary files that a killed program left in the middle of a write.

Every file of the home is written under a hidden name beside its place and then renamed. A program that is killed in
between leaves that name behind, where no listing shows it. Such files are taken away when they are a day old: no write
takes that long, so nobody can still be at it, in this process or in another, on this machine or on another.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLD = 24 * 3600.0  # seconds since the last change; a download's own folder, `.pulling`, is no such thing and stays

FOLDERS = ("pictures", "trash", "inputs", "cache", "adapters", "runs", "evals", "exports")
"""Folders of the home that are searched whole; of the home itself and of `models` only the top."""

_FILES = re.compile(r"\..{1,100}\.[0-9a-f]{32}\.tmp|\.(?:tensor|caption|input|file-hashes)-[A-Za-z0-9_]{8}")
_MODELS = re.compile(r"\.(?:incoming|removed)-[A-Za-z0-9_]{8}")  # models that were being put there or taken away


@dataclass(frozen=True, slots=True)
class Leftover:
    """One of them."""

    path: Path
    bytes: int


def find(home: Path, older_than: float = OLD) -> list[Leftover]:
    """The leftovers below `home`, by path. Links inside its folders are not followed.

    Args:
        home: the workbench's folder; it may be missing.
        older_than: seconds since anything in it changed.
    """
    latest = time.time() - older_than
    found = [*_files(home, latest, deep=False)]
    for name in FOLDERS:
        found += _files(home / name, latest, deep=True)
    for entry in _entries(home / "models"):
        if _MODELS.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            changed, size = _tree(Path(entry.path))
            if changed < latest:
                found.append(Leftover(Path(entry.path), size))
    return sorted(found, key=lambda each: each.path)


def sweep(home: Path, older_than: float = OLD) -> list[Leftover]:
    """Take the leftovers away; those that could be. Arguments as in `find`."""
    return [each for each in find(home, older_than) if _remove(each.path)]


def _files(folder: Path, latest: float, *, deep: bool) -> Iterator[Leftover]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            if deep:
                yield from _files(Path(entry.path), latest, deep=True)
        elif _FILES.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            try:
                facts = entry.stat(follow_symlinks=False)
            except OSError:  # renamed or taken away meanwhile
                continue
            if facts.st_mtime < latest:
                yield Leftover(Path(entry.path), facts.st_size)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # not there, or not for us to read
        return []


def _tree(folder: Path) -> tuple[float, int]:
    """When anything in a folder changed last, and its bytes."""
    facts = [path.lstat() for path in (folder, *folder.rglob("*"))]
    return max(each.st_mtime for each in facts), sum(each.st_size for each in facts)


def _remove(path: Path) -> bool:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True
