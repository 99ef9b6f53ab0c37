"""Headers of GGUF files, versions 2 and 3.

Layout: magic, version, number of tensors, number of remarks, the remarks, then name, dimensions (fastest first), type
and offset of each tensor. Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; sizes of the types from
ggml-quants.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from workbench.models.identify.header import AGAIN, CONVERT, Header, HeaderError, TensorEntry

_MAX_HEADER = 100_000_000  # bytes; a vocabulary of 150,000 words takes 5 million
_MAX_TENSORS = 200_000
_MAX_REMARKS = 10_000
_MAX_TEXT = 10_000_000
_KEPT_TEXT = 10_000  # longer remarks (chat templates, imatrix) say nothing about what the file is

TYPES: Mapping[int, tuple[str, int, int]] = MappingProxyType(
    {
        0: ("F32", 1, 4),
        1: ("F16", 1, 2),
        2: ("Q4_0", 32, 18),
        3: ("Q4_1", 32, 20),
        6: ("Q5_0", 32, 22),
        7: ("Q5_1", 32, 24),
        8: ("Q8_0", 32, 34),
        10: ("Q2_K", 256, 84),
        11: ("Q3_K", 256, 110),
        12: ("Q4_K", 256, 144),
        13: ("Q5_K", 256, 176),
        14: ("Q6_K", 256, 210),
        16: ("IQ2_XXS", 256, 66),
        17: ("IQ2_XS", 256, 74),
        18: ("IQ3_XXS", 256, 98),
        19: ("IQ1_S", 256, 50),
        20: ("IQ4_NL", 32, 18),
        21: ("IQ3_S", 256, 110),
        22: ("IQ2_S", 256, 82),
        23: ("IQ4_XS", 256, 136),
        24: ("I8", 1, 1),
        25: ("I16", 1, 2),
        26: ("I32", 1, 4),
        27: ("I64", 1, 8),
        28: ("F64", 1, 8),
        29: ("IQ1_M", 256, 56),
        30: ("BF16", 1, 2),
    }
)
"""Number of a type -> its name, values of a block, bytes of a block. Q8_1 and Q8_K are never in files."""

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9


def read_gguf(stream: BinaryIO, path: Path, size: int) -> Header:
    """The header of a GGUF file.

    Args:
        stream: at the file's start.
        path: for messages.
        size: bytes of the file.

    Raises:
        HeaderError: another version, a file that is cut short, a header that cannot be believed.
    """
    reader = _Reader(stream, path)
    reader.take(4)
    version = reader.number("<I")
    if version not in (2, 3):
        raise HeaderError(f"The file {path} is GGUF of version {version}; versions 2 and 3 are read.", CONVERT)
    count, remarks = reader.number("<Q"), reader.number("<Q")
    if count > _MAX_TENSORS or remarks > _MAX_REMARKS:
        raise HeaderError(f"The header of {path} names {count} tensors and {remarks} remarks.", AGAIN)
    metadata = {}
    for _ in range(remarks):
        key = reader.text()
        value = reader.value(reader.number("<I"))
        if value is not None and len(str(value)) <= _KEPT_TEXT:
            metadata[key] = str(value)
    tensors: dict[str, TensorEntry] = {}
    end = 0
    for _ in range(count):
        name, dimensions = reader.text(), reader.number("<I")
        if dimensions > 8:
            raise HeaderError(f"A tensor in {path} has {dimensions} dimensions.", AGAIN)
        shape = tuple(reader.number("<Q") for _ in range(dimensions))[::-1]
        kind, offset = reader.number("<I"), reader.number("<Q")
        if kind not in TYPES:
            raise HeaderError(f"A tensor in {path} has the unknown type {kind}.", CONVERT)
        dtype, values, stored = TYPES[kind]
        if shape and shape[-1] % values:
            raise HeaderError(f"A tensor in {path} is {dtype} with rows of {shape[-1]} values.", AGAIN)
        tensors[name] = TensorEntry(dtype, shape)
        end = max(end, offset + math.prod(shape) // values * stored)
    if reader.done + end > size:
        raise HeaderError(
            f"The weight file {path} is cut short: {size} bytes, but its header names {reader.done + end} at least.",
            AGAIN,
        )
    return Header("gguf", tensors, metadata)


class _Reader:
    """Numbers and texts from a stream, never more than the limit."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path = stream, path
        self.done = 0

    def take(self, count: int) -> bytes:
        self.done += count
        if self.done > _MAX_HEADER:
            raise HeaderError(f"The header of {self._path} is longer than {_MAX_HEADER} bytes.", AGAIN)
        data = self._stream.read(count)
        if len(data) != count:
            raise HeaderError(f"The weight file {self._path} is cut short inside its header.", AGAIN)
        return data

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self) -> str:
        length = self.number("<Q")
        if length > _MAX_TEXT:
            raise HeaderError(f"The header of {self._path} has a text of {length} bytes.", AGAIN)
        return self.take(length).decode("utf-8", errors="replace")

    def value(self, kind: int, *, nested: bool = False) -> Any:
        """One remark; None for an array, which is read over."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY or nested:
            raise HeaderError(f"The header of {self._path} has a remark of the unknown type {kind}.", AGAIN)
        inner, count = self.number("<I"), self.number("<Q")
        if inner in _SCALARS:
            self.take(min(count, _MAX_HEADER) * struct.calcsize(_SCALARS[inner]))
        else:
            for _ in range(min(count, _MAX_HEADER)):
                self.value(inner, nested=True)
        return None
