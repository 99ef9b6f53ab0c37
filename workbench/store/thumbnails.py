"""Small copies of the pictures, made once: WebP files beside the store, by digest, safe to delete."""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import Image, features

from workbench.errors import StoreError
from workbench.store.files import make_folder, write_atomically
from workbench.store.png import read_picture

SIDE = 256  # longest side in pixels
QUALITY = 82
LARGEST = 4 * 2**20  # bytes of a thumbnail that is read


class Thumbnails:
    """The thumbnails of one home folder, under `cache/thumbnails`.

    Args:
        home: the store's folder.
    """

    def __init__(self, home: Path) -> None:
        self.folder = Path(home) / "cache" / "thumbnails"

    def path(self, digest: str) -> Path:
        """Where the thumbnail of `digest` lies, or would lie."""
        return self.folder / digest[:2] / f"{digest}.{kind()}"

    def read(self, digest: str, picture: Path) -> tuple[str, bytes]:
        """The thumbnail as (format, bytes of the file), made from the file `picture` when it is not there yet.

        A folder that cannot be written costs time, not the thumbnail.

        Raises:
            StoreError: there is no picture, or it is damaged.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes() if path.stat().st_size <= LARGEST else b""
        except OSError:
            data = b""
        return (kind(), data) if _whole(data) else (kind(), self.make(digest, read_picture(picture)[0]))

    def make(self, digest: str, picture: Image.Image) -> bytes:
        """Keep a thumbnail of `picture` (RGB); the bytes of the file."""
        data = encode_thumbnail(picture)
        path = self.path(digest)
        with suppress(StoreError):  # a full or read-only disk: the gallery goes on, and makes it again the next time
            make_folder(path.parent)
            write_atomically(path, data, durable=False)
        return data

    def remove(self, digest: str) -> None:
        """Forget a thumbnail."""
        with suppress(OSError):  # a read-only folder; a thumbnail too many does no harm
            self.path(digest).unlink(missing_ok=True)


def encode_thumbnail(picture: Image.Image, side: int = SIDE) -> bytes:
    """A small copy as WebP, or as PNG where Pillow has no WebP; pictures that are small already keep their size."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    if kind() == "webp":
        small.save(buffer, "WEBP", quality=QUALITY, method=2)
    else:
        small.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@cache
def kind() -> str:
    """The format of the files: webp or png."""
    return "webp" if features.check("webp") else "png"


def _whole(data: bytes) -> bool:
    """Whether a file is as long as its own header says (WebP), or ends as it should (PNG)."""
    if data[:4] == b"RIFF":
        return len(data) == 8 + int.from_bytes(data[4:8], "little")
    return data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
