"""The scorer `typography`: what an OCR engine reads in a picture, against the texts asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.scoring import Metric, Sample, Score, register
from evals.typography import published
from evals.typography.ask import AskedTextError, asked_of
from evals.typography.metrics import METRICS, measure
from evals.typography.ocr import OCR, Reading
from evals.typography.readers import read_samples, reader, saw, unreadable

__all__ = ["TypographyScorer", "published"]  # imported here so that one module registers all scorers of typography

RULE = "1"
"""Raised whenever a value can change; the scorer's version holds it beside the engine's."""


@register("typography", "words in the picture: accuracy, precision, NED, CER, WER in three views, by OCR")
class TypographyScorer:
    """Word accuracy, sentence accuracy, NED, CER, WER, extra text: see `evals.typography.metrics`.

    Args:
        ocr: the engine, or its name for `make_ocr`.
        options: for the engine.

    Raises:
        ScorerError: the engine or a package is missing.
    """

    name = "typography"
    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache
    metrics: tuple[Metric, ...] = METRICS

    def __init__(self, ocr: OCR | str = "rapidocr", **options: Any) -> None:
        self.ocr = reader(ocr, **options)
        self.version = f"{RULE}+{self.ocr.name}-{self.ocr.version}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """See `Scorer.score`."""
        return [
            self._one(sample, reading) for sample, reading in zip(samples, read_samples(self.ocr, samples), strict=True)
        ]

    def _one(self, sample: Sample, reading: Reading) -> Score:
        try:
            asked = asked_of(sample)
        except AskedTextError as error:
            return Score({}, error=str(error))
        seen = saw(asked, reading)
        if reading.error:
            return Score({}, seen, reading.error)
        if asked.origin == "nothing":
            return Score(dict.fromkeys(metric.name for metric in self.metrics), seen)
        if missing := unreadable(self.ocr, asked):
            return Score({}, seen, missing)
        return Score(measure(asked.texts, reading.lines, any_case=asked.any_case), seen)
