"""Input pictures: conversions by stated rules, refusals with a sentence, and what is kept."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.errors import InputError
from workbench.models.inputs import Inputs, content_digest, read_input

SIZE = (32, 24)  # width, height


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path / "home")


def noise(*shape: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def colours() -> Image.Image:
    return Image.fromarray(noise(24, 32, 3))


def test_equal_pixels_have_one_digest_whatever_the_file(inputs: Inputs, tmp_path: Path) -> None:
    picture = colours()
    for name in ("a.png", "b.bmp", "c.tiff", "d.webp"):
        picture.save(tmp_path / name, lossless=True)  # which WebP asks for and the others ignore
    found = {inputs.find(str(tmp_path / name)).digest for name in ("a.png", "b.bmp", "c.tiff", "d.webp")}
    assert len(found) == 1
    (digest,) = found
    assert inputs.find(digest).digest == digest
    assert inputs.open(digest).tobytes() == picture.tobytes()
    assert len(list(inputs.folder.rglob("*.png"))) == 1


def test_size_is_part_of_the_digest(inputs: Inputs) -> None:
    white = [Image.new("RGB", size, "white") for size in ((32, 64), (64, 32))]
    assert white[0].tobytes() == white[1].tobytes()
    assert content_digest(white[0]) != content_digest(white[1])


def test_a_digest_stays_true_when_its_file_is_gone_or_changed(inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    colours().save(path)
    first = inputs.find(str(path))
    Image.new("RGB", SIZE, "red").save(path)
    os.utime(path, ns=(1, 1))
    assert inputs.find(str(path)).digest != first.digest
    path.unlink()
    assert inputs.find(first.digest) == first


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_shows_white_and_keeps_in_a_mask(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (0, 0, 16, 24))
    if mode == "PA":
        picture = Image.new("P", SIZE, 0)
        picture.putpalette([0, 0, 0, 255, 255, 255])
        picture.paste(1, (0, 0, 16, 24))
        picture.save(tmp_path / "a.png", transparency=0)
    else:
        picture.convert(mode).save(tmp_path / "a.png")
    assert np.asarray(read_input(tmp_path / "a.png")).min() == 255
    mask = np.asarray(read_input(tmp_path / "a.png", mask=True))
    assert (mask[:, :16] == 255).all()
    assert (mask[:, 16:] == 0).all()


def test_half_transparent_colours_blend_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", SIZE, (255, 0, 0, 128)).save(tmp_path / "a.png")
    assert read_input(tmp_path / "a.png").getpixel((0, 0)) == (255, 127, 127)


def test_16_bits_become_8_by_their_high_byte(tmp_path: Path) -> None:
    levels = np.random.default_rng(1).integers(0, 2**16, (24, 32), dtype=np.uint16)
    for name in ("a.png", "a.tiff"):
        Image.fromarray(levels).save(tmp_path / name)
        read = np.asarray(read_input(tmp_path / name))
        assert (read == (levels >> 8)[..., None]).all()
        assert (np.asarray(read_input(tmp_path / name, mask=True)) == levels >> 8).all()


def test_cmyk_grey_palette_and_one_bit(tmp_path: Path) -> None:
    picture = colours()
    picture.convert("CMYK").save(tmp_path / "cmyk.tiff")
    read = np.asarray(read_input(tmp_path / "cmyk.tiff"), dtype=int)
    assert np.abs(read - np.asarray(picture, dtype=int)).max() <= 1
    for mode in ("L", "P", "1"):
        picture.convert(mode).save(tmp_path / f"{mode}.png")
        assert read_input(tmp_path / f"{mode}.png").tobytes() == picture.convert(mode).convert("RGB").tobytes()


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int) -> None:
    picture = Image.new("RGB", SIZE, "white")
    picture.paste("black", (0, 0, 8, 8))  # top left
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    read = read_input(tmp_path / "a.png")
    assert read.size == (SIZE if orientation in (2, 3) else SIZE[::-1])
    corner = {2: (-1, 0), 3: (-1, -1), 6: (-1, 0), 8: (0, -1)}[orientation]
    at = (corner[0] % read.width, corner[1] % read.height)
    assert read.getpixel(at) == (0, 0, 0)
    assert not read.info  # nor does anything else of the file's private data stay


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", SIZE, colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_input(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (8, 200), (50_000, 20), (20_000, 5_000)])
def test_sizes_that_are_refused(inputs: Inputs, tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("1", size).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=f"{size[0]} x {size[1]}"):
        inputs.find(str(tmp_path / "a.png"))
    assert not inputs.folder.exists()


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(inputs: Inputs, tmp_path: Path) -> None:
    """A PNG header of 100,000 x 100,000 pixels with almost no data."""
    small = tmp_path / "small.png"
    Image.new("1", (100, 100)).save(small)
    data = bytearray(small.read_bytes())
    head = struct.pack(">II", 100_000, 100_000) + bytes(data[24:29])
    data[16:29] = head
    data[29:33] = struct.pack(">I", zlib.crc32(b"IHDR" + head))
    small.write_bytes(bytes(data))
    with pytest.raises(InputError, match="pixels"):
        inputs.find(str(small))


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.png", b""), ("text.png", b"no picture"), ("cut.png", None), ("page.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n")],
)
def test_files_that_are_no_pictures(inputs: Inputs, tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        colours().save(path)
        content = path.read_bytes()[:-200]
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        inputs.find(str(path))
    assert not inputs.folder.exists()


def test_absent_files_folders_and_unknown_digests(inputs: Inputs, tmp_path: Path) -> None:
    for name in ("nowhere.png", str(tmp_path), "a" * 64, "nul\0", "x" * 5000):
        with pytest.raises(InputError):
            inputs.find(name)


def test_numbers_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((24, 32), 0.5, np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="16 bits"):
        read_input(tmp_path / "a.tiff")


def test_a_changed_input_is_refused_and_can_be_given_again(inputs: Inputs, tmp_path: Path) -> None:
    colours().save(tmp_path / "a.png")
    digest = inputs.find(str(tmp_path / "a.png")).digest
    Image.new("RGB", SIZE, "red").save(inputs.path(digest))
    with pytest.raises(InputError, match="changed on disk"):
        inputs.find(digest)
    assert inputs.find(str(tmp_path / "a.png")).digest == digest
    assert inputs.open(digest).tobytes() == colours().tobytes()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot be kept"):
        Inputs(tmp_path / "home").add(colours())
