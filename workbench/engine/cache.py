"""Tensors kept on disk by content, safe to delete at any time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from torch import Tensor


class TensorFolder:
    """A folder of tensors, one safetensors file a key.

    Args:
        folder: where they are; made when first needed. None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, key: str) -> Tensor | None:
        """The tensor kept under `key`, on the CPU; None when there is none or it is damaged."""
        return (self.read_all(key) or {}).get("value")

    def write(self, key: str, value: Tensor) -> None:
        """Keep `value` under `key`. A folder that cannot be written only costs time."""
        self.write_all(key, {"value": value})

    def read_all(self, key: str) -> dict[str, Tensor] | None:
        """The tensors kept under `key`, on the CPU; None when there are none or the file is damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self._file(key)
        if path is None or not path.is_file():
            return None
        try:
            values: dict[str, Tensor] = load_file(path)
        except (OSError, SafetensorError):  # made again, and then written over
            return None
        return values

    def write_all(self, key: str, values: dict[str, Tensor]) -> None:
        """Keep named tensors under `key`. A folder that cannot be written only costs time."""
        from safetensors.torch import save

        path = self._file(key)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tensor-")
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(save({name: value.detach().cpu().contiguous() for name, value in values.items()}))
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(temporary).replace(path)
            finally:
                Path(temporary).unlink(missing_ok=True)  # only when it did not become the file
        except OSError:
            return

    def _file(self, key: str) -> Path | None:
        return self._folder / key[:2] / f"{key}.safetensors" if self._folder else None
