"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from uuid import uuid4

from workbench.errors import StoreError

_REMEDIES = {
    errno.ENOSPC: "Free some disk space and run again.",
    errno.EDQUOT: "Your disk quota is used up; free some space and run again.",
    errno.EACCES: "Choose a folder that you may write to.",
    errno.EPERM: "Choose a folder that you may write to.",
    errno.EROFS: "Choose a folder that you may write to.",
    errno.ENOENT: "Make the folder first, or choose another.",
    errno.ENOTDIR: "Choose a path whose parent is a folder.",
    errno.EISDIR: "Choose a file name, not a folder.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write `data` to `path` so that a reader, a crash or a full disk never sees half of it.

    The bytes go to a temporary name in the same folder and reach the disk before the file takes its name.

    Args:
        path: where to; an existing file is replaced, its folder must exist.
        data: the whole content.
        durable: wait until it has reached the disk; without, a power cut may leave an empty file.

    Raises:
        StoreError: the file cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name[:100]}.{uuid4().hex}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def check_writable(path: Path) -> None:
    """Find out, before any expensive work, whether a file can be written at `path`.

    Raises:
        StoreError: it cannot; `path` is left as it was.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        probe = path.with_name(f".{path.name[:100]}.{uuid4().hex}.tmp")
        try:
            with probe.open("xb") as file:
                file.write(b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> StoreError:
    """One sentence and the remedy for a failed write."""
    reason = (os.strerror(error.errno) if error.errno else str(error)) or type(error).__name__
    return StoreError(
        f"Cannot write {str(path)!r}: {reason[:1].lower()}{reason[1:]}.",
        _REMEDIES.get(error.errno or 0, "Choose another place."),
    )


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
