"""Pictures that recipes start from: references, images and masks, kept by the content of their pixels.

A picture is read once, brought to 8-bit RGB (a mask: to 8-bit grey levels) and kept as `inputs/ab/abcd....png`; recipes
name it by its digest, so they stay true when the file they came from is moved or changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from workbench.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
MIN_SIDE, MAX_SIDE = 16, 16384  # pixels
MAX_PIXELS = 64 * 2**20
MAX_BYTES = 256 * 2**20  # of a file
_DIGEST = re.compile(r"[0-9a-f]{64}")
_AGAIN = "Open it in a picture program and save it as an 8-bit PNG."


@dataclass(frozen=True, slots=True)
class Input:
    """One picture that is kept."""

    digest: str  # see `content_digest`
    width: int  # pixels
    height: int  # pixels


def content_digest(picture: Image.Image) -> str:
    """SHA-256 over mode, size and pixels of an RGB or L picture: 64 hexadecimal digits.

    The bytes hashed are `RGB 128 96`, a line feed, and the values, rows from top to bottom; size is in it because two
    flat pictures of different shape have equal bytes.
    """
    head = f"{picture.mode} {picture.width} {picture.height}\n".encode()
    return hashlib.sha256(head + picture.tobytes()).hexdigest()


def read_input(source: Path | bytes, *, mask: bool = False) -> Image.Image:
    """A picture from outside as 8-bit RGB, or as grey levels (mode L) for a mask.

    Turned upright by its EXIF orientation; 16 bits a channel become 8 by their high byte; CMYK and palettes become RGB;
    transparency shows white, in a mask black (keep). Of an animation the first frame counts. Colour profiles are not
    applied.

    Args:
        source: a file, or the bytes of one.
        mask: whether it is to be a mask.

    Raises:
        InputError: no such file, no picture of a known format, too large or too small, or of a kind that has no stated
            conversion.
    """
    name = "The picture" if isinstance(source, bytes) else f"The picture {str(source)!r}"
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{name} has {size / 1e6:.0f} MB.", f"Use a file of at most {MAX_BYTES / 1e6:.0f} MB.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower and is refused
            stream = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(stream, formats=FORMATS) as file:
                _check_size(name, *file.size)
                picture = _upright(file)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist.", "Check the path.") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name} has far more pixels than can be used.", _limits()) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{name} cannot be read: {reason}.", f"Use one of: {', '.join(FORMATS)}.") from None
    return _plain(picture, name, mask=mask)


class Inputs:
    """The pictures kept in one home folder.

    Args:
        home: they are in `home/inputs`, which is made when first needed.
    """

    def __init__(self, home: Path) -> None:
        self.folder = Path(home) / "inputs"
        self._known: dict[object, Input] = {}
        self._lock = threading.Lock()

    def path(self, digest: str) -> Path:
        """Where the picture of `digest` lies, or would lie."""
        return self.folder / digest[:2] / f"{digest}.png"

    def add(self, source: Path | bytes | Image.Image, *, mask: bool = False) -> Input:
        """Keep a picture, whole or not at all; one that is kept already stays as it is.

        Raises:
            InputError: as `read_input`, or the folder cannot be written.
        """
        if isinstance(source, Image.Image):
            _check_size("The picture", *source.size)
            picture = _plain(source, "The picture", mask=mask)
        else:
            picture = read_input(source, mask=mask)
        digest = content_digest(picture)
        if not self.path(digest).is_file():
            self._write(self.path(digest), picture)
        return Input(digest, picture.width, picture.height)

    def find(self, name: str, *, mask: bool = False) -> Input:
        """The picture of the digest `name`, or that in the file `name`, which is then kept.

        Raises:
            InputError: as `read_input`, or there is no picture of that digest.
        """
        kept = _DIGEST.fullmatch(name) is not None
        path = self.path(name) if kept else Path(name).expanduser()
        if kept and not path.is_file():
            raise InputError(
                f"There is no input of digest {name[:12]}... here.",
                "Give the file that it was made from; equal pixels have equal digests.",
            )
        try:
            status = path.stat()
        except (OSError, ValueError):
            return self.add(path, mask=mask)  # which says what is wrong
        key = (str(path.absolute()), status.st_size, status.st_mtime_ns, mask)
        with self._lock:
            known = self._known.get(key)
        if known is None or not self.path(known.digest).is_file():
            known = self.add(self.open(name) if kept else path, mask=mask)
            with self._lock:
                self._known[key] = known
        return known

    def open(self, digest: str) -> Image.Image:
        """The picture of `digest`: RGB, or L for a mask.

        Raises:
            InputError: it is gone, or its file was changed.
        """
        path = self.path(digest)
        try:
            with Image.open(path, formats=["PNG"]) as file:
                file.load()
                picture = file.copy()
        except (OSError, ValueError, SyntaxError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise InputError(f"The input {digest[:12]} cannot be read: {reason}.", "Give its file again.") from None
        if content_digest(picture) != digest:
            path.unlink(missing_ok=True)  # so that giving the file again writes it anew
            raise InputError(f"The input {digest[:12]} was changed on disk.", "Give its file again.")
        return picture

    def _write(self, path: Path, picture: Image.Image) -> None:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".input-")
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(buffer.getvalue())
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise InputError(
                f"The picture cannot be kept in {self.folder}: {error.strerror or error}.",
                "Free some disk space, or choose a home folder that you may write to.",
            ) from None


def _check_size(name: str, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE or not (max(width, height) <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise InputError(f"{name} has {width} x {height} pixels.", _limits())


def _limits() -> str:
    return f"Sides are {MIN_SIDE} to {MAX_SIDE} pixels, the area at most {MAX_PIXELS / 1e6:.0f} megapixels."


def _upright(file: Image.Image) -> Image.Image:
    """The first frame, decoded and turned as its EXIF orientation says."""
    file.load()
    return ImageOps.exif_transpose(file)


def _eight_bits(picture: Image.Image, name: str) -> Image.Image:
    """Grey levels of 16 bits as 8: Pillow itself would clip them at 255."""
    import numpy as np  # not needed by what only names pictures

    if picture.mode in ("I", "F"):
        values = np.asarray(picture)
        if picture.mode == "F" or values.min() < 0 or values.max() >= 2**16:
            raise InputError(f"{name} holds numbers beyond 16 bits.", _AGAIN)
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture).astype(np.int32) >> 8).astype(np.uint8))
    return picture


def _plain(picture: Image.Image, name: str, *, mask: bool) -> Image.Image:
    """Pixels alone: Pillow would write EXIF data and profiles of the original into our copy."""
    plain = _grey(picture, name) if mask else _colour(picture, name)
    plain.info.clear()
    return plain


def _colour(picture: Image.Image, name: str) -> Image.Image:
    picture = _eight_bits(picture, name)
    if _transparent(picture):
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer).convert("RGB")
    return picture.copy() if picture.mode == "RGB" else picture.convert("RGB")


def _grey(picture: Image.Image, name: str) -> Image.Image:
    picture = _eight_bits(picture, name)
    if _transparent(picture):
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return picture.copy() if picture.mode == "L" else picture.convert("RGB").convert("L")


def _transparent(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
