"""Read a word: its letters as one black line on white, by any OCR engine behind a small protocol.

Where the letters are is known from the segmentation, so the engine only recognises. Three sizes are read and the text
that two of them agree on counts; on clean and on mildly blurred, noisy pictures that was right more often than
detection and recognition on the picture itself, and several times faster.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from evals.scenes.segment import Blob
from evals.typography.ocr import OcrError
from evals.typography.rapid import RapidOcr
from workbench.errors import WorkbenchError

HEIGHTS = (32, 24, 48)  # pixels of the letters' row; the first counts where all three disagree
LOOKALIKES = str.maketrans({"0": "O", "1": "I", "₁": "I", "l": "I", "|": "I", "!": "I"})
SAME_FORM = "ckopsuvwxz"  # lower-case letters that differ from their capitals in size alone


class ReaderError(WorkbenchError):
    """No OCR engine is there to read words with."""

    code = "WB402"


class Reader(Protocol):
    """Recognises text."""

    name: str
    version: str

    def read(self, line: Image.Image) -> str:
        """The text of one cropped line, black on white; empty when there is none."""
        ...


class RapidReader:
    """RapidOCR's recogniser (PP-OCRv6 small, its weights are in the wheel) on one thread."""

    name = "rapidocr"

    def __init__(self) -> None:
        """Load the engine.

        Raises:
            ReaderError: the extra `evals` is not installed.
        """
        try:
            self._ocr = RapidOcr(workers=1)
        except OcrError as error:
            raise ReaderError(error.message, error.remedy) from None
        self.version = self._ocr.package

    def read(self, line: Image.Image) -> str:
        """See `Reader.read`."""
        return self._ocr.read_line(line)


def read_word(reader: Reader, letters: Sequence[Blob]) -> str:
    """The text that `letters` spell, from left to right; empty when there are none.

    Args:
        reader: the OCR engine.
        letters: the parts of one row of letters.
    """
    if not letters:
        return ""
    texts = [reader.read(line_picture(letters, height)) for height in HEIGHTS]
    votes = Counter(canonical(text) for text in texts)
    winner = votes.most_common(1)[0][0] if max(votes.values()) > 1 else canonical(texts[0])
    return next(text for text in texts if canonical(text) == winner).strip()


def line_picture(letters: Sequence[Blob], height: int) -> Image.Image:
    """The letters black on white, the row scaled to `height` pixels, with a white border of a third of that."""
    left, top = (min(blob.box[side] for blob in letters) for side in (0, 1))
    right, bottom = (max(blob.box[side] for blob in letters) for side in (2, 3))
    rows, columns = letters[0].coverage.shape  # pixels in a box, which give the size of the picture
    box = letters[0].box
    down, across = rows / (box[3] - box[1]), columns / (box[2] - box[0])  # height and width of the picture in pixels
    page = np.zeros((round((bottom - top) * down), round((right - left) * across)), dtype=np.float32)
    for blob in letters:
        row, column = round((blob.box[1] - top) * down), round((blob.box[0] - left) * across)
        place = page[row : row + blob.coverage.shape[0], column : column + blob.coverage.shape[1]]
        np.maximum(place, blob.coverage, out=place)
    line = Image.fromarray(np.rint(255 * (1 - page)).astype(np.uint8))
    line = line.resize((max(1, round(line.width * height / line.height)), height), Image.Resampling.LANCZOS)
    return ImageOps.expand(line, height // 3, fill=255)


def same_text(wanted: str, got: str) -> bool:
    """Whether two texts are equal, apart from blanks and from signs that a bare sans-serif form cannot tell apart.

    0 equals O, and 1, l and | equal I; the letters c k o p s u v w x z equal their capitals.
    """
    return canonical(wanted) == canonical(got)


def canonical(text: str) -> str:
    """The one form shared by all texts that `same_text` holds equal."""
    text = re.sub(r"\s+", "", text).translate(LOOKALIKES)
    return "".join(letter.upper() if letter in SAME_FORM else letter for letter in text)
