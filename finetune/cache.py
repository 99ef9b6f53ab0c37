"""Latents and text features by content, computed once and shared between runs.

A key is the SHA-256 of everything that decides the tensors: pixels, crop and VAE, or text, text encoder, layers and
length. Never a step or a position, so that a cache cannot get out of line with the captions. Files are written whole
and carry the SHA-256 of their tensors; one that is damaged is made again. All of it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from workbench.errors import StoreError
from workbench.store.files import make_folder, write_atomically

Tensors = dict[str, Tensor]


class FeatureCache:
    """Named tensors by key, in memory and in safetensors files.

    Args:
        folder: where they are kept; None: in memory only.
        limit: bytes kept in memory; the least recently used go first and are read again from disk.
    """

    def __init__(self, folder: Path | None, limit: int = 4 * 2**30) -> None:
        self._folder, self._limit = folder, limit
        self._kept: OrderedDict[str, Tensors] = OrderedDict()
        self._bytes = 0
        self.made = 0  # features that had to be computed
        self.found = 0  # features that were there

    def has(self, key: str) -> bool:
        """Whether the features are there, in memory or whole on disk."""
        return self.get(key) is not None

    def get(self, key: str) -> Tensors | None:
        """The features kept under `key`, on the CPU, or None."""
        if (found := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return found
        tensors = self._read(key)
        if tensors is not None:
            self._keep(key, tensors)
        return tensors

    def get_or_make(self, key: str, make: Callable[[], Tensors]) -> Tensors:
        """The features kept under `key`; computed and kept when they are not there.

        Raises:
            StoreError: there is a folder, but it cannot be written.
        """
        found = self.get(key)
        if found is not None:
            self.found += 1
            return found
        tensors = {name: value.detach().cpu().contiguous() for name, value in make().items()}
        self.made += 1
        self._write(key, tensors)
        self._keep(key, tensors)
        return tensors

    def _keep(self, key: str, tensors: Tensors) -> None:
        self._kept[key] = tensors
        self._bytes += _size(tensors)
        while self._folder is not None and self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])

    def _read(self, key: str) -> Tensors | None:
        from safetensors import SafetensorError, safe_open

        path = self._file(key)
        if path is None or not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as stream:
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (no mapping)
                whole = (stream.metadata() or {}).get("sha256") == digest(tensors)
        except (OSError, SafetensorError):
            return None
        return tensors if whole else None

    def _write(self, key: str, tensors: Tensors) -> None:
        from safetensors.torch import save

        path = self._file(key)
        if path is None:
            return
        make_folder(path.parent)
        try:
            write_atomically(path, save(tensors, {"sha256": digest(tensors)}))
        except StoreError as error:
            raise StoreError(error.message, f"{error.remedy} The feature cache is below {self._folder}.") from None

    def _file(self, key: str) -> Path | None:
        return self._folder / key[:2] / f"{key}.safetensors" if self._folder else None


def feature_key(kind: str, *facts: object) -> str:
    """The key of what `facts` decide."""
    return hashlib.sha256(repr((kind, *facts)).encode("utf-8", "surrogatepass")).hexdigest()


def digest(tensors: Tensors) -> str:
    """SHA-256 over names, shapes, types and bytes."""
    import torch

    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _size(tensors: Tensors) -> int:
    return sum(value.nbytes for value in tensors.values())
