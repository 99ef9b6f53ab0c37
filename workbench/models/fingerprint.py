"""SHA-256 of files by content, remembered on disk so that gigabytes are read once.

The memory is keyed by path, size and modification time in nanoseconds; a file that changes in one of them is read
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from workbench.errors import ModelError


class FileHashes:
    """SHA-256 of files, with a memory in one JSON file.

    Args:
        cache: folder of the memory file; made when first needed. A folder that cannot be written only costs time.
    """

    def __init__(self, cache: Path) -> None:
        self._file = cache / "file-hashes.json"
        self._known: dict[str, str] | None = None
        self._lock = threading.Lock()

    def of(self, path: Path) -> str:
        """SHA-256 of the content of `path`, 64 hexadecimal digits.

        Raises:
            ModelError: the file cannot be read.
        """
        try:
            status = path.stat()
            key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
            with self._lock:
                if self._known is None:
                    self._known = self._load()
                if (digest := self._known.get(key)) is not None:
                    return digest
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(
                f"The file {path} cannot be read: {error.strerror or error}.", "Check the file and its permissions."
            ) from None
        with self._lock:
            self._known[key] = digest
            self._save()
        return digest

    def of_tree(self, root: Path, files: Iterable[Path], extra: str = "") -> str:
        """One SHA-256 over `files` below `root`: their sorted relative paths with the SHA-256 of each content.

        Args:
            root: folder that the paths are taken relative to, so that a moved folder keeps its fingerprint.
            files: what counts.
            extra: text that counts as well.

        Raises:
            ModelError: a file cannot be read.
        """
        lines = sorted(f"{path.relative_to(root).as_posix()} {self.of(path)}" for path in files)
        return hashlib.sha256("\n".join([*lines, extra]).encode()).hexdigest()

    def _load(self) -> dict[str, str]:
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _save(self) -> None:
        assert self._known is not None  # loaded before anything is added
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # Another process may have added files since this one read the memory.
            self._known = self._load() | self._known
            descriptor, name = tempfile.mkstemp(dir=self._file.parent, prefix=".file-hashes-")
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(self._known, stream)
            Path(name).replace(self._file)
        except OSError:  # a cache that cannot be kept is no failure of the work
            return
