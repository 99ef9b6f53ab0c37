"""Headers without data in a few kilobytes: for tests, and for reporting a file that is not recognised.

Blocks that repeat share a line: `["double_blocks.{0-18}.img_attn.qkv.weight", "BF16", [9216, 3072]]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from workbench.models.identify.header import Format, Header, TensorEntry, texts

_NUMBER = re.compile(r"(?<=[._])\d+(?=[._])")
_RANGE = re.compile(r"\{([\d,-]+)\}")
_MAX_TENSORS = 200_000


def strip(header: Header) -> dict[str, Any]:
    """`header` as a small JSON object, from which `expand` makes it again."""
    groups: dict[tuple[str, TensorEntry], list[int]] = {}
    for name, entry in header.tensors.items():
        found = _NUMBER.search(name)
        if found is None or "{" in name or found.group() != str(int(found.group())):
            groups[name, entry] = []
        else:
            template = f"{name[: found.start()]}{{}}{name[found.end() :]}"
            groups.setdefault((template, entry), []).append(int(found.group()))
    lines = [
        [name.replace("{}", f"{{{_ranges(numbers)}}}"), entry.dtype, list(entry.shape)]
        if numbers
        else [name, entry.dtype, list(entry.shape), *(["as it stands"] if "{" in name else [])]
        for (name, entry), numbers in groups.items()
    ]
    return {"format": header.format, "metadata": dict(header.metadata), "tensors": lines}


def expand(values: Mapping[str, Any]) -> Header:
    """The header that `strip` gave.

    Raises:
        ValueError: not what `strip` writes.
    """
    tensors: dict[str, TensorEntry] = {}
    for name, dtype, shape, *literal in values["tensors"]:
        entry = TensorEntry(str(dtype), tuple(int(size) for size in shape))
        found = None if literal else _RANGE.search(name)
        for number in _numbers(found.group(1)) if found else [None]:
            tensors[name if number is None else _RANGE.sub(str(number), name, count=1)] = entry
        if len(tensors) > _MAX_TENSORS:
            raise ValueError("more tensors than any model has")
    form: Format = "gguf" if values.get("format") == "gguf" else "safetensors"
    return Header(form, tensors, texts(values.get("metadata")))


def to_json(header: Header) -> str:
    """`strip` as text, one tensor a line."""
    values = strip(header)
    lines = ",\n".join(json.dumps(line, separators=(",", ":")) for line in values.pop("tensors"))
    return json.dumps(values)[:-1] + ', "tensors": [\n' + lines + "\n]}\n"


def _ranges(numbers: list[int]) -> str:
    """0,1,2,5 -> '0-2,5'."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for span in text.split(","):
        first, _, last = span.partition("-")
        if int(last or first) - int(first) > _MAX_TENSORS:
            raise ValueError(f"the range {span} is too long")
        numbers += range(int(first), int(last or first) + 1)
    return numbers
