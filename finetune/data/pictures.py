"""Bytes to pixels: one way to decode a picture, whatever a camera, a scanner or a browser made of it.

Orientation is applied, profiles are converted to sRGB, 16 bits are scaled to 8, CMYK becomes RGB and transparency lies
on white. Only plain raster formats are opened, and nothing that unpacks to more than `MAX_PIXELS`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from finetune.data.buckets import Geometry
from finetune.data.errors import PictureError

MAX_PIXELS = 89_478_485  # a quarter of a GiB as RGB: where Pillow begins to suspect a decompression bomb
MAX_BYTES = 512 * 1024 * 1024
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jp2", ".ppm")
_WIDE = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION = 0x0112


class Blob(Protocol):
    """The bytes of one picture, wherever they are."""

    @property
    def label(self) -> str:
        """Where the bytes are, for messages."""
        ...

    def read(self) -> bytes:
        """The bytes.

        Raises:
            PictureError: they cannot be read, or are more than `MAX_BYTES`.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileBlob:
    """A picture file."""

    path: Path

    @property
    def label(self) -> str:
        """The path."""
        return str(self.path)

    def read(self) -> bytes:
        """The bytes of the file."""
        try:
            if (size := self.path.stat().st_size) > MAX_BYTES:
                raise PictureError(f"The picture {self.label} has {size:,} bytes.", f"At most {MAX_BYTES:,} are read.")
            return self.path.read_bytes()
        except OSError as error:
            raise PictureError(f"The picture {self.label} cannot be read: {error.strerror}.") from None


@dataclass(frozen=True, slots=True)
class Facts:
    """What decoding a picture tells beyond its pixels."""

    width: int  # after the orientation is applied
    height: int
    mode: str  # of the file, as Pillow names it
    rotated: bool  # whether the EXIF orientation is anything but upright
    transparent: bool
    frames: int  # more than one: only the first is used


def decode(blob: Blob) -> Image.Image:
    """The picture as 8-bit sRGB.

    Raises:
        PictureError: no picture, a damaged one, or one of more than `MAX_PIXELS`.
    """
    return decode_with_facts(blob)[0]


def decode_with_facts(blob: Blob) -> tuple[Image.Image, Facts]:
    """The picture as 8-bit sRGB, and what was done to get there.

    Raises:
        PictureError: as `decode`.
    """
    with _opened(blob) as raw:
        rotated = raw.getexif().get(_ORIENTATION, 1) not in (0, 1)
        frames = int(getattr(raw, "n_frames", 1))
        raw.load()
        upright = ImageOps.exif_transpose(raw)
        transparent = upright.has_transparency_data
        picture = _to_rgb(upright, transparent=transparent)
        return picture, Facts(*picture.size, raw.mode, rotated, transparent, frames)


def decode_mask(blob: Blob) -> Image.Image:
    """A mask as 8-bit grey: white trains, black does not. Raises `PictureError` as `decode`."""
    with _opened(blob) as raw:
        raw.load()
        upright = ImageOps.exif_transpose(raw)
        return upright if upright.mode == "L" else _to_rgb(upright, transparent=False).convert("L")


def content_digest(picture: Image.Image) -> str:
    """SHA-256 over mode, size and pixels: equal pictures are equal whatever their files."""
    head = f"{picture.mode} {picture.width} {picture.height}\n".encode()
    digest = hashlib.sha256(head)
    digest.update(picture.tobytes())
    return digest.hexdigest()


def cut(picture: Image.Image, geometry: Geometry) -> Image.Image:
    """The part of `picture` that `geometry` keeps, at its size (Lanczos, antialiased)."""
    done = picture.resize(geometry.size, Image.Resampling.LANCZOS, box=geometry.box)
    return ImageOps.mirror(done) if geometry.flip else done


@contextmanager
def _opened(blob: Blob) -> Iterator[Image.Image]:
    """An opened, not yet decoded picture of a safe size; whatever a decoder raises becomes a `PictureError`."""
    data = blob.read()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as raw:
            if raw.width * raw.height > MAX_PIXELS:
                raise PictureError(
                    f"The picture {blob.label} has {raw.width} x {raw.height} pixels.",
                    f"At most {MAX_PIXELS:,} are decoded; make it smaller.",
                )
            yield raw
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(
            f"The picture {blob.label} unpacks to a suspicious number of pixels.",
            f"At most {MAX_PIXELS:,} are decoded; make it smaller.",
        ) from None
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            f"The picture {blob.label} cannot be decoded: it is in none of the formats {', '.join(FORMATS)}.",
            "Export it again as PNG or JPEG, or take it out.",
        ) from None
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they like on damaged data
        said = " ".join(str(error).split())[:200]
        raise PictureError(
            f"The picture {blob.label} cannot be decoded: {type(error).__name__}: {said}.",
            "Export it again as PNG or JPEG, or take it out.",
        ) from None


def _to_rgb(picture: Image.Image, *, transparent: bool) -> Image.Image:
    if picture.mode in _WIDE:
        picture = _to_eight_bits(picture)
    picture = _to_srgb(picture, transparent=transparent)
    if not transparent:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey scaled by 1/257; a float picture is taken as 0 to 1. Pillow's own conversion would clip."""
    import numpy as np

    values = np.asarray(picture, dtype=np.float64)
    scaled = values * 255 if picture.mode == "F" else values / 257
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _to_srgb(picture: Image.Image, *, transparent: bool) -> Image.Image:
    """Colours by the embedded profile, where there is one that fits; a broken profile counts as none."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return picture
        target: Any = ImageCms.createProfile("sRGB")
        mode = "RGBA" if transparent and picture.mode == "RGBA" else "RGB"
        done = ImageCms.profileToProfile(picture, source, target, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    return picture if done is None else done
