"""RapidOCR (PP-OCRv6 small; its weights are in the wheel), with the settings that read best on rendered words.

One thread for each picture and several pictures at once: onnxruntime's own threads make small pictures slower. The
detector's limit holds the long side down to 736 pixels, without which large letters fall apart; small pictures are
enlarged to a short side of 256. The angle classifier is off: it turns upright lines more often than it helps.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evals.typography.ocr import OcrError, Reading, Region, in_reading_order

LIMITS = (512, 736)  # pixels of the long side for the detector; the first is faster on large pictures
LEAST_SIDE = 256  # pixels; a shorter short side is enlarged to this
MOST_SIDE = 2000  # pixels; RapidOCR itself reduces a longer side to this


class RapidOcr:
    """RapidOCR on the CPU.

    Args:
        limit: the detector's limit of the long side, in pixels, 512 or 736.
        workers: pictures read at once; default: one a core, four at most. Does not change a reading.

    Raises:
        OcrError: RapidOCR is not installed or too old, or the limit is another.
    """

    name = "rapidocr"

    def __init__(self, limit: int = 736, *, workers: int | None = None) -> None:
        if limit not in LIMITS:
            raise OcrError(f"The detector's limit {limit} is none that was measured.", "Use 512 or 736.")
        try:
            import rapidocr
        except ImportError:
            raise OcrError(
                "Text cannot be read: RapidOCR is not installed.", "Run: pip install 'flux-workbench[evals]'."
            ) from None
        self.package = metadata.version("rapidocr")
        if tuple(int(part) for part in self.package.split(".")[:2]) < (3, 10):
            raise OcrError(
                f"RapidOCR {self.package} has older weights than those that were measured.",
                "Run: pip install 'rapidocr>=3.10,<4'.",
            )
        self.limit = limit
        self.workers = workers or min(4, os.cpu_count() or 1)
        self._models = Path(rapidocr.__file__).parent / "models"
        self._local = threading.local()

    @cached_property
    def version(self) -> str:
        """Package, digest of the two models and settings."""
        digest = hashlib.sha256()
        for path in sorted(self._models.glob("PP-OCR*.onnx")):
            digest.update(path.read_bytes())
        return f"{self.package}-{digest.hexdigest()[:8]}-det{self.limit}-up{LEAST_SIDE}"

    @cached_property
    def alphabet(self) -> frozenset[str]:
        """The recogniser's characters and the blank."""
        # RapidOCR has no public way to its recogniser's dictionary.
        characters: list[str] = self._engine._load_rec_model().postprocess_op.character
        return frozenset(each for each in characters if len(each) == 1) | {" "}

    def read(self, pictures: Sequence[Image.Image]) -> list[Reading]:
        """See `OCR.read`."""
        if len(pictures) < 2 or self.workers == 1:
            return [self._read(picture) for picture in pictures]
        with ThreadPoolExecutor(min(self.workers, len(pictures)), "ocr") as pool:
            return list(pool.map(self._read, pictures))

    def read_line(self, line: Image.Image) -> str:
        """The text of one cropped line of dark on light, without detection; empty when there is none."""
        found = self._engine(_bgr(line), use_det=False)
        return " ".join(found.txts or ())

    def _read(self, picture: Image.Image) -> Reading:
        try:
            scale = max(1.0, LEAST_SIDE / min(picture.size))
            if scale > 1:
                size = (round(picture.width * scale), round(picture.height * scale))
                picture = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            found = self._engine(_bgr(picture), use_det=True)
        except Exception as error:  # noqa: BLE001  # whatever one picture breaks is that picture's error
            return Reading(error=f"{self.name} failed: {type(error).__name__}: {error}")
        texts, boxes, scores = found.txts or (), found.boxes, found.scores or ()
        regions = [
            Region(text, _upright(box, scale), float(score))
            for text, box, score in zip(texts, () if boxes is None else boxes, scores, strict=True)
        ]
        return Reading(in_reading_order(regions))

    @property
    def _engine(self) -> Any:
        """This thread's engine: RapidOCR keeps state between its stages, so threads cannot share one."""
        if not hasattr(self._local, "engine"):
            from rapidocr import RapidOCR

            self._local.engine = RapidOCR(
                params={
                    # Set here, not at the models, where RapidOCR passes over them.
                    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                    "Det.limit_type": "max",
                    "Det.limit_side_len": self.limit,
                    "Global.max_side_len": MOST_SIDE,
                    "Global.use_cls": False,
                    "Global.log_level": "error",
                }
            )
        return self._local.engine


def _bgr(picture: Image.Image) -> NDArray[np.uint8]:
    """Pixels of shape (height, width, 3), blue first, as the engine wants them."""
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


def _upright(box: NDArray[np.float32], scale: float) -> tuple[float, float, float, float]:
    """The upright box around four corners of shape (4, 2), in pixels of the picture before scaling."""
    (left, top), (right, bottom) = box.min(axis=0) / scale, box.max(axis=0) / scale
    return float(left), float(top), float(right), float(bottom)
