"""Texts inside PNG, JPEG and WebP files, read without decoding a pixel, with limits on everything.

Sources: PNG (W3C, third edition) chunks tEXt, zTXt, iTXt, eXIf; JPEG (ITU T.81) markers APP1 and COM; WebP container
(RIFF) chunk EXIF.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from workbench.metadata.exif import exif_texts
from workbench.metadata.result import RecallError

MAX_TEXT = 8 * 2**20  # bytes of one text; the largest workflows seen in the wild are below one MiB
MAX_TEXTS = 64
MAX_CHUNKS = 200_000  # a picture of 400 MB in chunks of 8 KB has 50,000
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Texts:
    """What a file says, by the name of the chunk or entry, and what could not be read."""

    kind: str  # png, jpeg, webp
    width: int = 0  # pixels; 0: the file does not say
    height: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        """Keep a text; the first of a name counts."""
        if name in self.texts:
            self.problems.append(f"The file has several texts called {name[:80]!r}; the first is read.")
        elif len(self.texts) >= MAX_TEXTS:
            self.problems.append(f"The file has more than {MAX_TEXTS} texts; {name[:80]!r} is not read.")
        else:
            self.texts[name] = text

    def add_exif(self, data: bytes) -> None:
        """Keep the texts of an Exif block."""
        try:
            found = exif_texts(data.removeprefix(b"Exif\0\0"))
        except ValueError as error:
            self.problems.append(f"The Exif block is damaged: {error}.")
            return
        for name, text in found.items():
            self.add(name, text)


def read_texts(source: Path | bytes) -> Texts:
    """The texts of a picture file.

    Args:
        source: path of a PNG, JPEG or WebP file, or its bytes.

    Raises:
        RecallError: no such file, or none of the three formats.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), "the picture")
    try:
        with source.open("rb") as file:
            return _read(file, repr(str(source)))
    except FileNotFoundError:
        raise RecallError(f"There is no file {str(source)!r}.", "Check the path.") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise RecallError(f"Cannot read {str(source)!r}: {reason}.", "Check the path.") from None


def _read(file: BinaryIO, name: str) -> Texts:
    head = file.read(16)
    if head.startswith(_PNG):
        file.seek(len(_PNG))
        return _png(file)
    if head.startswith(b"\xff\xd8\xff"):
        file.seek(2)
        return _jpeg(file)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        file.seek(12)
        return _webp(file)
    raise RecallError(f"{name} is no PNG, JPEG or WebP file.", "Give the file as the tool wrote it.")


def _chunks(file: BinaryIO, found: Texts, *, little: bool, tail: int) -> Iterator[tuple[bytes, int]]:
    """Names and lengths of chunks; the file stands at the chunk's data. `tail`: bytes after the data (PNG's CRC)."""
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            if tail:
                found.problems.append("The file is cut short.")
            return
        name, size = (head[:4], head[4:]) if little else (head[4:], head[:4])
        length = int.from_bytes(size, "little" if little else "big")
        start = file.tell()
        yield name, length
        padding = length % 2 if little else 0  # RIFF chunks lie at even places
        file.seek(start + length + tail + padding)
    found.problems.append(f"The file has more than {MAX_CHUNKS} chunks; the rest is not read.")


def _png(file: BinaryIO) -> Texts:
    found = Texts("png")
    for kind, length in _chunks(file, found, little=False, tail=4):
        if kind == b"IEND":
            break
        if kind not in (b"IHDR", b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            continue
        if length > MAX_TEXT:
            found.problems.append(f"A text of {length} bytes is not read: more than {MAX_TEXT}.")
            continue
        data, crc = file.read(length), file.read(4)
        if len(data) < length or zlib.crc32(kind + data).to_bytes(4, "big") != crc:
            found.problems.append(f"A {kind.decode()} chunk is damaged.")
        elif kind == b"IHDR":
            found.width, found.height = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        elif kind == b"eXIf":
            found.add_exif(data)
        else:
            _png_text(found, kind, data)
    return found


def _png_text(found: Texts, kind: bytes, data: bytes) -> None:
    key, _, rest = data.partition(b"\0")
    name = key.decode("latin-1")
    packed, coding = kind == b"zTXt", "latin-1"
    if kind == b"iTXt":
        packed, coding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].split(b"\0", 2)[-1]  # after the flags: language, translated keyword, text
    elif packed:
        rest = rest[1:]  # the method, of which there is one
    try:
        if packed:
            unpack = zlib.decompressobj()
            rest = unpack.decompress(rest, MAX_TEXT)
            if unpack.unconsumed_tail:
                found.problems.append(f"The text {name!r} is not read: it unpacks to more than {MAX_TEXT} bytes.")
                return
        found.add(name, rest.decode(coding))
    except (zlib.error, UnicodeDecodeError):
        found.problems.append(f"The text {name!r} is damaged.")


def _jpeg(file: BinaryIO) -> Texts:
    found = Texts("jpeg")
    for _ in range(MAX_CHUNKS):
        marker = file.read(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            found.problems.append("The file is cut short or damaged.")
            break
        if marker[1] in (0xD9, 0xDA):  # the end, or the pixels
            break
        if marker[1] == 0xFF:  # fill byte
            file.seek(-1, io.SEEK_CUR)
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        data = file.read(max(length, 0))
        if length < 0 or len(data) < length:
            found.problems.append("The file is cut short or damaged.")
            break
        if marker[1] == 0xE1 and data.startswith(b"Exif\0\0"):
            found.add_exif(data)
        elif marker[1] == 0xFE:
            found.add("comment", data.rstrip(b"\0").decode("utf-8", "replace"))
        elif 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC) and length >= 5:
            found.height, found.width = int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big")
    return found


def _webp(file: BinaryIO) -> Texts:
    found = Texts("webp")
    for kind, length in _chunks(file, found, little=True, tail=0):
        if kind == b"EXIF":
            if length > MAX_TEXT:
                found.problems.append(f"An Exif block of {length} bytes is not read: more than {MAX_TEXT}.")
                continue
            found.add_exif(file.read(length))
        elif kind in (b"VP8X", b"VP8L", b"VP8 ") and not found.width:
            found.width, found.height = _webp_size(kind, file.read(min(length, 16)))
    return found


def _webp_size(kind: bytes, head: bytes) -> tuple[int, int]:
    if kind == b"VP8X":
        return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
