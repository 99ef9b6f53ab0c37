"""Readings kept in a JSON file: replayed without an engine, for re-scoring, for other people's OCR, and for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from evals.scoring import picture_digest
from evals.typography.ocr import OCR, OcrError, Reading, Region
from workbench.store.files import write_atomically

FORMAT = "flux-workbench readings"
LARGEST = 500_000_000  # bytes of a file that is read


class ReplayOcr:
    """Gives the readings that were recorded; a picture that was not is an error for that picture.

    Args:
        readings: by the picture's digest.
        name: of the engine that read.
        version: of the engine that read.
    """

    alphabet = None

    def __init__(self, readings: Mapping[str, Reading], name: str = "replay", version: str = "1") -> None:
        self.name, self.version = name, version
        self.readings = dict(readings)

    def read(self, pictures: Sequence[Image.Image]) -> list[Reading]:
        """See `OCR.read`."""
        missing = Reading(error="no reading of this picture was recorded")
        return [self.readings.get(picture_digest(picture), missing) for picture in pictures]

    @classmethod
    def load(cls, path: str | Path) -> ReplayOcr:
        """Read the file that `save` wrote.

        Raises:
            OcrError: it cannot be read or is none; the message names what is wrong.
        """
        path = Path(path)
        try:
            if path.stat().st_size > LARGEST:
                raise OcrError(f"{path.name!r} is larger than {LARGEST // 10**6} MB.", "Split the readings.")
            raw = json.loads(path.read_text(encoding="utf-8"))
            if raw["format"] != FORMAT:
                raise OcrError(
                    f"{path.name!r} is no file of readings.", "Write one with `evals.typography.replay.save`."
                )
            readings = {digest: _reading(each) for digest, each in raw["readings"].items()}
            return cls(readings, str(raw["name"]), str(raw["version"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise OcrError(
                f"The readings in {path.name!r} cannot be used: {type(error).__name__}: {error}.",
                "Write them with `evals.typography.replay.save`.",
            ) from None

    def save(self, path: Path) -> None:
        """Write all readings to a JSON file.

        Raises:
            StoreError: it cannot be written.
        """
        readings = {
            digest: {"error": each.error} if each.error else {"regions": [region.to_dict() for region in each.regions]}
            for digest, each in sorted(self.readings.items())
        }
        body = {"format": FORMAT, "name": self.name, "version": self.version, "readings": readings}
        write_atomically(path, (json.dumps(body, ensure_ascii=False, indent=1) + "\n").encode())


def record(ocr: OCR, pictures: Sequence[Image.Image]) -> ReplayOcr:
    """Read pictures once, to be replayed."""
    digests = [picture_digest(picture) for picture in pictures]
    return ReplayOcr(dict(zip(digests, ocr.read(pictures), strict=True)), ocr.name, ocr.version)


def _reading(raw: dict[str, Any]) -> Reading:
    if "error" in raw:
        return Reading(error=str(raw["error"]))
    regions = []
    for each in raw["regions"]:
        left, top, right, bottom = (float(side) for side in each.get("box", (0, 0, 0, 0)))
        regions.append(Region(str(each["text"]), (left, top, right, bottom), float(each.get("confidence", 1))))
    return Reading(tuple(regions))
