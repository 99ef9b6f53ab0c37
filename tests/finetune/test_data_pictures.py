"""Decoding: whatever a camera, a scanner or an attacker made of a picture."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from finetune.data.errors import PictureError
from finetune.data.pictures import FileBlob, content_digest, decode, decode_mask, decode_with_facts

RAMP = np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)


def saved(folder: Path, picture: Image.Image, name: str, **options: Any) -> FileBlob:
    picture.save(folder / name, **options)
    return FileBlob(folder / name)


def colours() -> Image.Image:
    return Image.fromarray(np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """All eight orientations, against the picture that a viewer shows."""
    turns = {2: [0], 3: [3], 4: [1], 5: [5], 6: [4], 7: [6], 8: [2]}
    upright = colours()
    raw = upright
    inverse = {4: 2, 2: 4}  # rotations undo each other; mirrors undo themselves
    for turn in turns.get(orientation, []):
        raw = raw.transpose(Image.Transpose(inverse.get(turn, turn)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    blob = saved(tmp_path, raw, "a.png", exif=exif)
    picture, facts = decode_with_facts(blob)
    assert np.array_equal(np.asarray(picture), np.asarray(upright))
    assert facts.rotated == (orientation != 1)
    assert (facts.width, facts.height) == (64, 48)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    layer = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    layer.putpixel((0, 0), (255, 0, 0, 255))
    layer.putpixel((1, 0), (0, 0, 0, 128))
    picture, facts = decode_with_facts(saved(tmp_path, layer, "a.png"))
    assert facts.transparent
    assert [picture.getpixel((x, 0)) for x in range(3)] == [(255, 0, 0), (127, 127, 127), (255, 255, 255)]


def test_a_transparent_palette_lies_on_white(tmp_path: Path) -> None:
    paletted = Image.new("P", (2, 1))
    paletted.putpalette([0, 0, 255, 255, 0, 0])
    paletted.putpixel((1, 0), 1)
    picture = decode(saved(tmp_path, paletted, "a.png", transparency=0))
    assert (picture.getpixel((0, 0)), picture.getpixel((1, 0))) == ((255, 255, 255), (255, 0, 0))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    wide = Image.fromarray(RAMP.astype(np.uint16) * 257)
    picture = decode(saved(tmp_path, wide, "a.png"))
    assert np.array_equal(np.asarray(picture)[..., 0], RAMP)
    assert np.array_equal(np.asarray(decode_mask(FileBlob(tmp_path / "a.png"))), RAMP)


def test_float_pictures_are_taken_as_zero_to_one(tmp_path: Path) -> None:
    picture = decode(saved(tmp_path, Image.fromarray((RAMP / 255).astype(np.float32)), "a.tiff"))
    assert np.array_equal(np.asarray(picture)[..., 0], RAMP)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    blob = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "a.jpg", quality=100)
    picture, facts = decode_with_facts(blob)
    assert facts.mode == "CMYK"
    assert np.abs(np.asarray(picture, int) - (255, 0, 0)).max() <= 3


def swapped_profile() -> bytes:
    """The sRGB profile under another name, its red and green primaries swapped."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for place in range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12):
        name = bytes(data[place : place + 4])
        data[place : place + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    return bytes(data).replace("sRGB".encode("utf-16-be"), "odd1".encode("utf-16-be"))


def test_profiles_are_converted_to_srgb(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = colours()
    assert content_digest(decode(saved(tmp_path, plain, "s.png", icc_profile=srgb))) == content_digest(plain)
    broken = decode(saved(tmp_path, plain, "b.png", icc_profile=b"no profile"))
    assert content_digest(broken) == content_digest(plain)
    odd = decode(saved(tmp_path, plain, "x.png", icc_profile=swapped_profile()))
    assert np.abs(np.asarray(odd, int) - np.asarray(plain, int)[..., [1, 0, 2]]).max() <= 2


def test_equal_pixels_have_equal_digests_whatever_the_file(tmp_path: Path) -> None:
    png, bmp = saved(tmp_path, colours(), "a.png"), saved(tmp_path, colours(), "a.bmp")
    assert content_digest(decode(png)) == content_digest(decode(bmp))
    assert content_digest(Image.new("RGB", (2, 8))) != content_digest(Image.new("RGB", (4, 4)))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(parts)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side, side))
    with pytest.raises(PictureError, match="pixels"):
        decode(FileBlob(path))


@pytest.mark.parametrize("data", [b"", b"text", bomb(64, 64), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_damaged_pictures_are_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.png"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"odd\.png cannot be decoded"):
        decode(FileBlob(path))


def test_a_truncated_jpeg_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    colours().resize((400, 400)).save(file, "JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    with pytest.raises(PictureError, match="truncated"):
        decode(FileBlob(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"gone\.png cannot be read"):
        decode(FileBlob(tmp_path / "gone.png"))
