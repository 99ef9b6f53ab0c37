"""What a detector says of a picture, and the protocol that every detector keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One object as a detector sees it."""

    label: str  # a class name
    box: Box  # left, top, right, bottom in pixels
    score: float  # confidence, 0 to 1
    mask: Mask | None = None  # (height, width) of the whole picture
    colour: str = ""  # a colour's name where the detector itself tells colours, else empty

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the mask."""
        told = {"class": self.label, "score": round(self.score, 4), "box": [round(side, 1) for side in self.box]}
        return told | ({"colour": self.colour} if self.colour else {})


class Detector(Protocol):
    """Finds objects of named classes."""

    @property
    def name(self) -> str:
        """Part of the scorer's version."""
        ...

    @property
    def version(self) -> str:
        """Changes with the rule, the settings and the weights."""
        ...

    @property
    def classes(self) -> frozenset[str] | None:
        """All it knows; None where any name may be asked for."""
        ...

    def detect(self, pictures: Sequence[Image.Image], classes: Sequence[Sequence[str]]) -> list[tuple[Detection, ...]]:
        """The objects of each picture.

        Args:
            pictures: RGB.
            classes: for each picture the names to look for; a detector with a fixed list returns what it finds of them.

        Returns:
            For each picture its detections, unfiltered: thresholds belong to the rule that reads them.
        """
        ...


class ReplayDetector:
    """Detections made elsewhere, by `picture_digest`: a detector for tests and for other people's dumps."""

    name = "replay"

    def __init__(self, found: dict[str, Sequence[Detection]], version: str = "1") -> None:
        self.version = version
        self.classes: frozenset[str] | None = None
        self._found = found

    def detect(self, pictures: Sequence[Image.Image], classes: Sequence[Sequence[str]]) -> list[tuple[Detection, ...]]:
        """See `Detector.detect`.

        Raises:
            KeyError: a picture is not among those that were looked at.
        """
        from evals.scoring import picture_digest

        return [
            tuple(each for each in self._found[picture_digest(picture)] if each.label in wanted)
            for picture, wanted in zip(pictures, classes, strict=True)
        ]
