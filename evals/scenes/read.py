"""Read the text on a picture: any OCR engine behind a protocol, RapidOCR as the one that comes with the extra `evals`."""

from __future__ import annotations

import re
from typing import Protocol

from PIL import Image

LOOKALIKES = str.maketrans({"0": "O", "1": "I", "l": "I", "|": "I", "!": "I"})
SAME_FORM = "ckopsuvwxz"  # lower-case letters that differ from their capitals in size alone


class Reader(Protocol):
    """Reads text."""

    name: str
    version: str

    def read(self, picture: Image.Image) -> str:
        """All text on `picture`, lines from top to bottom joined by a space; empty when there is none."""
        ...


def same_text(wanted: str, got: str) -> bool:
    """Whether two texts are equal, apart from blanks and from signs that a bare sans-serif form cannot tell apart.

    0 equals O, and 1, l and | equal I; the letters c k o p s u v w x z equal their capitals.
    """
    return _canonical(wanted) == _canonical(got)


def _canonical(text: str) -> str:
    text = re.sub(r"\s+", "", text).translate(LOOKALIKES)
    return "".join(letter.upper() if letter in SAME_FORM else letter for letter in text)
