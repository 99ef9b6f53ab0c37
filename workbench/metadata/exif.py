"""The few Exif entries in which picture tools keep their settings. Source: TIFF 6.0 and Exif 2.32 (CIPA DC-008).

Only the first directory and the Exif directory are read, every offset is checked, so damaged or hostile files end in a
`ValueError` and nowhere else.
"""

from __future__ import annotations

import struct

TAGS = {0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model", 0x0131: "Software", 0x9286: "UserComment"}
_EXIF_DIRECTORY = 0x8769
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # bytes a value by TIFF type: BYTE, ASCII, SHORT, LONG, UNDEFINED
_MAX_ENTRIES = 1000  # of one directory


def exif_texts(data: bytes) -> dict[str, str]:
    """Text entries by name, of a TIFF block, without the six bytes that stand before it in a JPEG.

    Raises:
        ValueError: the block is damaged.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        raise ValueError("no TIFF block")
    try:
        magic, first = struct.unpack_from(order + "HI", data, 2)
        if magic != 42:
            raise ValueError("no TIFF block")
        found: dict[str, str] = {}
        inner = _directory(data, order, first, found)
        if inner is not None:
            _directory(data, order, inner, found)
    except struct.error:
        raise ValueError("an entry lies outside the block") from None
    return found


def _directory(data: bytes, order: str, offset: int, found: dict[str, str]) -> int | None:
    """Read one directory into `found`; returns the offset of the Exif directory, where it has one."""
    (count,) = struct.unpack_from(order + "H", data, offset)
    if count > _MAX_ENTRIES:
        raise ValueError("too many entries")
    inner: int | None = None
    for index in range(count):
        place = offset + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHI", data, place)
        if tag == _EXIF_DIRECTORY:
            (inner,) = struct.unpack_from(order + "I", data, place + 8)
        if tag not in TAGS or kind not in _SIZES:
            continue
        size = length * _SIZES[kind]
        start = place + 8 if size <= 4 else struct.unpack_from(order + "I", data, place + 8)[0]
        if start + size > len(data):
            raise ValueError("an entry lies outside the block")
        found[TAGS[tag]] = _text(TAGS[tag], data[start : start + size], order)
    return inner


def _text(name: str, raw: bytes, order: str) -> str:
    """An entry's text; `UserComment` starts with eight bytes that name its character code."""
    if name == "UserComment":
        code, raw = raw[:8], raw[8:]
        if code == b"UNICODE\0":
            return _utf16(raw, order)
        if code not in (b"ASCII\0\0\0", b"\0" * 8):
            raise ValueError("a user comment of unknown character code")
    try:
        return raw.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return raw.rstrip(b"\0").decode("latin-1")


def _utf16(raw: bytes, order: str) -> str:
    """UTF-16 whose byte order tools disagree about: the one in which the text reads like text.

    piexif, which most tools use, writes big endian whatever the block's order is.
    """
    raw = raw[: len(raw) // 2 * 2]
    candidates = ["utf-16-be", "utf-16-le"] if order == ">" or raw[:1] == b"\0" else ["utf-16-le", "utf-16-be"]
    # Latin letters have their zero byte first in big endian; the better half decides for scripts that have none.
    high, low = raw[0::2].count(0), raw[1::2].count(0)
    if high != low:
        candidates.sort(key=lambda name: name.endswith("le") if high > low else name.endswith("be"))
    for name in candidates:
        try:
            return raw.decode(name).rstrip("\0").lstrip("\ufeff")
        except UnicodeDecodeError:
            continue
    raise ValueError("a user comment that is no text")
