"""Headers of weight files: names, types and shapes of the tensors, and the file's own remarks.

A header comes from strangers: its length is bounded before it is read, every entry is checked, and the sizes that it
claims are held against the file's size. Layout of safetensors: 8 bytes little-endian length, JSON, data. Source:
https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from workbench.errors import ModelError
from workbench.models.checkpoint import refuse_pickle

Format = Literal["safetensors", "gguf"]

AGAIN = "Download or copy the file again."
CONVERT = "Convert it to safetensors, or download the safetensors or GGUF file of the model."
_MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format itself
_MAX_TENSORS = 200_000  # the largest published models have some ten thousand
_MAX_DIMENSIONS = 8

BITS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
        **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
        **dict.fromkeys(("U32", "I32", "F32"), 32),
        **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
        **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
        "F4": 4,
    }
)
"""Bits of one value by safetensors' name of the type."""


class HeaderError(ModelError):
    """The header of a weight file is cut short, malformed, or contradicts the file's size."""

    code = "WB203"


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor as the header describes it."""

    dtype: str  # 'BF16', 'F8_E4M3', 'U8', in a GGUF file 'Q4_0', 'Q5_K', ...
    shape: tuple[int, ...]  # in torch's order; of packed 4-bit weights that of the bytes

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """All that a weight file says of itself before its data."""

    format: Format
    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read(path: Path) -> Header:
    """The header of the safetensors or GGUF file at `path`.

    Raises:
        HeaderError: an empty file, one that is cut short, or a header that cannot be believed.
        ModelError: a pickle, or no file.
    """
    refuse_pickle(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ModelError(f"{path} is no file.", "Name one weight file; folders are read by `workbench models`.")
        if size == 0:
            raise HeaderError(f"The weight file {path} is empty.", AGAIN)
        with path.open("rb") as stream:
            start = stream.read(8)
            if start[:4] == b"GGUF":
                from workbench.models.identify.gguf import read_gguf

                stream.seek(0)
                return read_gguf(stream, path, size)
            if start[:2] == b"PK" or start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04"):
                raise ModelError(f"The weight file {path} is a pickle, which can run code when opened.", CONVERT)
            length = int.from_bytes(start, "little")
            if len(start) < 8:
                raise HeaderError(f"The weight file {path} is cut short: it has {size} bytes.", AGAIN)
            if length > _MAX_HEADER:
                raise HeaderError(f"The file {path} is neither a safetensors nor a GGUF file.", CONVERT)
            if 8 + length > size:
                raise HeaderError(
                    f"The weight file {path} is cut short: its header should have {length} bytes, "
                    f"and the whole file has {size}.",
                    AGAIN,
                )
            text = stream.read(length)
    except FileNotFoundError:
        raise ModelError(f"The weight file {path} is missing.", AGAIN) from None
    except OSError as error:
        raise ModelError(f"The weight file {path} cannot be read: {error.strerror or error}.", AGAIN) from None
    return _safetensors(text, path, size - 8 - length)


def _safetensors(text: bytes, path: Path, data: int) -> Header:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise HeaderError(f"The header of {path} is no JSON, so this is no safetensors file.", CONVERT) from None
    if not isinstance(values, dict):
        raise HeaderError(f"The header of {path} is not a table of tensors.", CONVERT)
    remarks = values.pop("__metadata__", None) or {}
    if len(values) > _MAX_TENSORS:
        raise HeaderError(f"The header of {path} names {len(values)} tensors, more than any model has.", CONVERT)
    tensors, spans = {}, []
    for name, entry in values.items():
        tensor, span = _entry(name, entry, path)
        tensors[name] = tensor
        spans.append(span)
    end = 0
    for first, last in sorted(spans):  # the format allows neither holes nor overlaps
        if first != end:
            raise HeaderError(f"The tensors of {path} overlap or leave a hole at byte {min(first, end)}.", AGAIN)
        end = last
    if end != data:
        what = "cut short" if end > data else "longer than its header says"
        raise HeaderError(f"The weight file {path} is {what}: {data} bytes of data, {end} in the header.", AGAIN)
    return Header("safetensors", tensors, texts(remarks))


def _entry(name: str, entry: Any, path: Path) -> tuple[TensorEntry, tuple[int, int]]:
    """One tensor, and the bytes it takes."""
    try:
        dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, first, last]
        sound = all(type(number) is int and 0 <= number < 2**63 for number in numbers) and isinstance(dtype, str)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound or len(shape) > _MAX_DIMENSIONS:
        raise HeaderError(f"The header of {path} has no usable type, shape and place for {_short(name)}.", AGAIN)
    if dtype not in BITS:
        raise HeaderError(f"The tensor {_short(name)} in {path} has the unknown type {_short(dtype)}.", CONVERT)
    if math.prod(shape) * BITS[dtype] != (last - first) * 8:
        raise HeaderError(
            f"The tensor {_short(name)} in {path} takes {last - first} bytes, but {dtype} of {_short(shape)} needs "
            f"{math.prod(shape) * BITS[dtype] // 8}.",
            AGAIN,
        )
    return TensorEntry(dtype, tuple(shape)), (first, last)


def texts(values: object) -> dict[str, str]:
    """The entries of `values` that are text; what is not is of no use in identifying a file."""
    if not isinstance(values, Mapping):
        return {}
    return {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, str)}


def _short(value: object) -> str:
    """`value` for a sentence: printable, and not longer than a line."""
    text = re.sub(r"[^\x20-\x7e]", "?", str(value))
    return repr(text if len(text) <= 80 else text[:77] + "...")
