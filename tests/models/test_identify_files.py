"""Headers of files on disk: read without their data, and refused in one sentence when they cannot be believed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.errors import ModelError
from workbench.models.identify import HeaderError, identify, read
from workbench.models.identify.stripped import expand

LAYOUTS = Path(__file__).parent / "layouts"
MATRIX = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def write(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def full_size(path: Path, name: str) -> Path:
    """The file that a stripped layout describes, at its full size, with holes for data."""
    header = expand(json.loads((LAYOUTS / f"{name}.json").read_text(encoding="utf-8")))
    entries: dict[str, Any] = {"__metadata__": dict(header.metadata)}
    end = 0
    sizes = {"BF16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1, "I64": 8}
    for tensor, entry in header.tensors.items():
        start, end = end, end + entry.elements * sizes[entry.dtype]
        entries[tensor] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [start, end]}
    write(path, entries)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + end)
    return path


@pytest.mark.parametrize("name", ["flux1-dev-bfl", "flux1-dev-fp8-scaled-comfy", "flux1-dev-nf4-diffusers"])
def test_a_file_of_24_gigabytes_is_identified_by_its_header(tmp_path: Path, name: str) -> None:
    path = full_size(tmp_path / "any name.safetensors", name)
    assert path.stat().st_size > 5e9
    assert identify(read(path)).variants == ("dev", "Krea-dev", "Kontext-dev")
    path.unlink()


def test_real_files_of_the_embedded_model_are_read() -> None:
    from safetensors import safe_open

    from workbench.models.catalog import EMBEDDED

    path = EMBEDDED / "klein-nano" / "transformer" / "diffusion_pytorch_model.safetensors"
    header = read(path)
    with safe_open(path, "np") as file:
        names = set(file.keys())
        some = min(names)
        shape = file.get_slice(some).get_shape()
    assert header.tensors.keys() == names
    assert list(header.tensors[some].shape) == shape
    assert (identify(header).kind, identify(header).family, identify(header).variants) == ("transformer", "flux2", ())


BAD: dict[str, tuple[object, bytes, str]] = {
    "empty table of another kind": ([], b"", "not a table"),
    "no JSON": (b"{", b"", "no JSON"),
    "nested without end": (b"[" * 100_000, b"", "no JSON"),
    "entry is text": ({"a": "x"}, b"", "no usable type"),
    "no offsets": ({"a": {"dtype": "F32", "shape": [1]}}, b"", "no usable type"),
    "three offsets": ({"a": MATRIX | {"data_offsets": [0, 8, 16]}}, bytes(16), "no usable type"),
    "negative size": ({"a": MATRIX | {"shape": [-2, -2]}}, bytes(16), "no usable type"),
    "size as text": ({"a": MATRIX | {"shape": ["2", 2]}}, bytes(16), "no usable type"),
    "true as size": ({"a": MATRIX | {"shape": [True, 4]}}, bytes(16), "no usable type"),
    "huge size": ({"a": MATRIX | {"shape": [2**70, 2]}}, bytes(16), "no usable type"),
    "hundred dimensions": ({"a": MATRIX | {"shape": [1] * 100}}, bytes(16), "no usable type"),
    "unknown type": ({"a": MATRIX | {"dtype": "FUNNY"}}, bytes(16), "unknown type"),
    "wrong type": ({"a": MATRIX | {"dtype": "F16"}}, bytes(16), "takes 16 bytes, but F16 of"),
    "cut short": ({"a": MATRIX}, bytes(15), "cut short"),
    "too long": ({"a": MATRIX}, bytes(17), "longer than its header"),
    "overlap": ({"a": MATRIX, "b": MATRIX}, bytes(16), "overlap"),
    "hole": ({"a": MATRIX, "b": MATRIX | {"data_offsets": [20, 36]}}, bytes(36), "hole"),
    "control characters": ({"a\x1b[31m\n": MATRIX | {"dtype": "F16"}}, bytes(16), "a?[31m?"),
}


@pytest.mark.parametrize("case", BAD)
def test_headers_that_cannot_be_believed(tmp_path: Path, case: str) -> None:
    header, data, words = BAD[case]
    with pytest.raises(HeaderError) as caught:
        read(write(tmp_path / "bad.safetensors", header, data))
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"abc", "cut short: it has 3 bytes"),
        ((10**6).to_bytes(8, "little") + b"{}", "cut short: its header should have 1000000 bytes"),
        ((2**63).to_bytes(8, "little") + b"{}", "neither a safetensors nor a GGUF"),
        (b"<!DOCTYPE html><html>Not found</html>", "neither a safetensors nor a GGUF"),
        (b"GGUF", "cut short inside its header"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "names 1099511627776 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**40), "a text of"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sIIQ", 1, b"a", 9, 0, 2**50), "longer than"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sI", 1, b"a", 77), "unknown type 77"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q1sIQIQ", 1, b"a", 1, 64, 99, 0), "unknown type 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q1sIQIQ", 1, b"a", 1, 33, 2, 0), "rows of 33"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q1sIQIQ", 1, b"a", 1, 64, 2, 0), "cut short: "),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q1sI", 1, b"a", 9), "has 9 dimensions"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(HeaderError, match=words):
        read(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 and a zip", b"\x80\x02}q\x00."])
def test_pickles_are_refused_under_any_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="pickle"):
        read(path)
    with pytest.raises(ModelError, match="pickle"):
        read(path.rename(tmp_path / "model.ckpt"))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        read(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="is no file"):
        read(tmp_path)


def test_what_the_package_gguf_writes_is_read(tmp_path: Path) -> None:
    import gguf

    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "flux")
    writer.add_name("Flux.1 Kontext Dev")
    writer.add_array("tokenizer.words", ["a", "b"])
    writer.add_array("numbers", [1, 2, 3])
    values = np.arange(2 * 64, dtype=np.float32).reshape(2, 64)
    writer.add_tensor("plain", values)
    for kind in ("Q4_0", "Q8_0", "Q5_0"):
        kept = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(kind, gguf.quants.quantize(values, kept), raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read(path)
    assert {name: (entry.dtype, entry.shape) for name, entry in header.tensors.items()} == {
        "plain": ("F32", (2, 64)), "Q4_0": ("Q4_0", (2, 64)), "Q8_0": ("Q8_0", (2, 64)), "Q5_0": ("Q5_0", (2, 64)),
    }  # fmt: skip
    assert header.metadata["general.name"] == "Flux.1 Kontext Dev"
    assert "numbers" not in header.metadata
    for packed, (size, stored) in gguf.GGML_QUANT_SIZES.items():
        from workbench.models.identify.gguf import TYPES

        if packed.value in TYPES:
            assert TYPES[packed.value] == (packed.name, size, stored)
