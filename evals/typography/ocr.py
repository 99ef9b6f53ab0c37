"""What an OCR engine is to the scorers: pictures in, readings out, with a name and a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from workbench.errors import WorkbenchError

Box = tuple[float, float, float, float]


class OcrError(WorkbenchError):
    """No OCR engine of that name is there, or it cannot work: its package, its program or its weights are missing."""

    code = "WB410"


@dataclass(frozen=True, slots=True)
class Region:
    """One line of text that was read.

    Attributes:
        text: as read, in logical order.
        box: left, top, right, bottom in pixels of the picture; all zero where the engine does not say.
        confidence: the engine's own, 0 to 1; 1 where it gives none.
    """

    text: str
    box: Box = (0.0, 0.0, 0.0, 0.0)
    confidence: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to a tenth of a pixel."""
        return {"text": self.text, "box": [round(v, 1) for v in self.box], "confidence": round(self.confidence, 4)}


@dataclass(frozen=True, slots=True)
class Reading:
    """What an engine read in one picture, in reading order; or why it could not."""

    regions: tuple[Region, ...] = ()
    error: str = ""

    @property
    def lines(self) -> list[str]:
        """The texts, one a region."""
        return [region.text for region in self.regions]

    @property
    def text(self) -> str:
        """All texts as one string, one line a region."""
        return "\n".join(self.lines)


@runtime_checkable
class OCR(Protocol):
    """Reads pictures. The same picture and version give the same reading."""

    @property
    def name(self) -> str:
        """For columns of a report, e.g. `rapidocr`."""
        ...

    @property
    def version(self) -> str:
        """Changes with whatever can change a reading: the package, the weights, a setting."""
        ...

    @property
    def alphabet(self) -> frozenset[str] | None:
        """Every character the engine can give; None where that is not known."""
        ...

    def read(self, pictures: Sequence[Image.Image]) -> list[Reading]:
        """One reading for each picture, in order; one that fails is a `Reading` with an error and spoils no other."""
        ...


def in_reading_order(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Rows from top to bottom, within a row from left to right.

    A region joins the row above when the middle of its height lies within that row's first region.
    """
    rows: list[list[Region]] = []
    for region in sorted(regions, key=lambda each: (each.box[1], each.box[0])):
        middle = (region.box[1] + region.box[3]) / 2
        if rows and rows[-1][0].box[1] <= middle < rows[-1][0].box[3]:
            rows[-1].append(region)
        else:
            rows.append([region])
    return tuple(region for row in rows for region in sorted(row, key=lambda each: each.box[0]))


def make_ocr(name: str = "rapidocr", **options: Any) -> OCR:
    """An engine by its name: `rapidocr`, `tesseract`, `vlm:FOLDER` or `replay:FILE.json`.

    Args:
        name: which; after the colon stands the folder of a transformers model or the file of readings.
        options: for the engine's class.

    Raises:
        OcrError: there is none of that name, or what it needs is missing; the message says how to get it.
    """
    kind, _, where = name.partition(":")
    match kind, bool(where):
        case "rapidocr", False:
            from evals.typography.rapid import RapidOcr

            return RapidOcr(**options)
        case "tesseract", False:
            from evals.typography.tesseract import Tesseract

            return Tesseract(**options)
        case "vlm", True:
            from evals.typography.vlm import VisionLanguageOcr

            return VisionLanguageOcr(where, **options)
        case "replay", True:
            from evals.typography.replay import ReplayOcr

            return ReplayOcr.load(where, **options)
    raise OcrError(f"There is no OCR engine {name!r}.", "Choose rapidocr, tesseract, vlm:FOLDER or replay:FILE.json.")
