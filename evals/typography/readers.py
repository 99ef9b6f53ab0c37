"""One reading of a picture for all scorers that need one: engines are made once, readings kept while a process lasts."""

from __future__ import annotations

import importlib.util
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Any

from evals.scoring import Sample, ScorerError
from evals.typography.ask import Asked
from evals.typography.normalise import script_of, strict
from evals.typography.ocr import OCR, OcrError, Reading, make_ocr

MOST_KEPT = 20_000  # readings; a few hundred bytes each
NEEDED = ("jiwer", "rapidfuzz", "scipy")

_readings: OrderedDict[tuple[str, str, str], Reading] = OrderedDict()
_lock = Lock()


def reader(ocr: OCR | str, **options: Any) -> OCR:
    """The engine itself, or the one of that name, made once for equal options.

    Raises:
        ScorerError: the engine is unknown or cannot work here, or a package for the metrics is missing.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ScorerError(
            f"Typography cannot be scored: {', '.join(missing)} is not installed.",
            "Run: pip install 'flux-workbench[evals]'.",
        )
    if not isinstance(ocr, str):
        return ocr
    try:
        return _made(ocr, tuple(sorted(options.items())))
    except OcrError as error:
        raise ScorerError(error.message, error.remedy) from None


@cache
def _made(name: str, options: tuple[tuple[str, Any], ...]) -> OCR:
    return make_ocr(name, **dict(options))


def read_samples(ocr: OCR, samples: Sequence[Sample]) -> list[Reading]:
    """A reading for each sample; pictures that this process has read before are not read again."""
    keys = [(ocr.name, ocr.version, sample.picture_digest) for sample in samples]
    with _lock:
        known = {key: _readings[key] for key in keys if key in _readings}
    todo = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in known}
    known |= dict(zip(todo, ocr.read([sample.picture for sample in todo.values()]), strict=True))
    with _lock:
        for key in keys:
            if not known[key].error:  # a failure may pass
                _readings[key] = known[key]
                _readings.move_to_end(key)
        while len(_readings) > MOST_KEPT:
            _readings.popitem(last=False)
    return [known[key] for key in keys]


def saw(asked: Asked, reading: Reading) -> dict[str, Any]:
    """What a scorer shows beside the picture: the texts asked, where that is known from, and the regions read."""
    return {
        "asked": list(asked.texts),
        "asked_from": asked.origin,
        "script": script_of(" ".join(asked.texts)),
        "read": [region.to_dict() for region in reading.regions],
    }


def unreadable(ocr: OCR, asked: Asked) -> str:
    """Why the engine cannot read what was asked, or an empty string: then a low value is the picture's fault."""
    if ocr.alphabet is None:
        return ""
    letters = {sign for text in asked.texts for sign in strict(text) if sign.isalpha()}
    # An accented letter that the engine lacks is read as its plain letter: a fault of one edit, not a foreign script.
    lacking = sorted(
        sign
        for sign in letters
        if sign not in ocr.alphabet and unicodedata.normalize("NFD", sign)[0] not in ocr.alphabet
    )
    if not lacking:
        return ""
    shown = " ".join(lacking[:8])
    return f"{ocr.name} has no letters for {shown}: use an engine that reads this script (`ocr=vlm:FOLDER`, tesseract)."
