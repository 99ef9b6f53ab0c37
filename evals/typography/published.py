"""Scorers that compute the figures of published benchmarks, each by its authors' rule (see `evals.typography.compat`).

A picture's values are means over its own words or lines; where a benchmark pools words over the whole set, or mixes
means of the set, `pool` gives the figure as published from the same scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evals.scoring import Metric, Sample, Score, register
from evals.typography import compat
from evals.typography.ask import Asked, AskedTextError, asked_of
from evals.typography.match import match_regions
from evals.typography.normalise import script_of
from evals.typography.ocr import OCR, Reading
from evals.typography.readers import read_samples, reader, saw, unreadable

RULE = "1"
Values = dict[str, float | None]
Measure = Callable[[Asked, Reading], tuple[Values, dict[str, Any]]]
Pool = Callable[[Sequence[dict[str, Any]]], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Definition:
    """One benchmark: its metrics, its rule for one picture, and its figures for a set, from the pictures' counts."""

    metrics: tuple[Metric, ...]
    measure: Measure
    pool: Pool


class PublishedScorer:
    """The figures of one benchmark.

    Args:
        name: registered name.
        definition: the benchmark's rule.
        ocr: the engine, or its name for `make_ocr`.
        options: for the engine.

    Raises:
        ScorerError: the engine or a package is missing.
    """

    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache

    def __init__(self, name: str, definition: Definition, ocr: OCR | str = "rapidocr", **options: Any) -> None:
        self.name, self.definition = name, definition
        self.metrics = definition.metrics
        self.ocr = reader(ocr, **options)
        self.version = f"{RULE}+{self.ocr.name}-{self.ocr.version}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """See `Scorer.score`."""
        readings = read_samples(self.ocr, samples)
        return [self._one(sample, reading) for sample, reading in zip(samples, readings, strict=True)]

    def pool(self, scores: Sequence[Score]) -> dict[str, float]:
        """The benchmark's own figures of a set; pictures with an error and those that ask for no text are left out.

        Returns:
            Name of a metric, or of a figure that only a set has, to its value; empty where no picture asks for text.
        """
        counts = [score.seen["counts"] for score in scores if not score.error and "counts" in score.seen]
        return self.definition.pool(counts) if counts else {}

    def _one(self, sample: Sample, reading: Reading) -> Score:
        try:
            asked = asked_of(sample)
        except AskedTextError as error:
            return Score({}, error=str(error))
        seen = saw(asked, reading)
        if reading.error:
            return Score({}, seen, reading.error)
        if not asked.texts:  # none of these benchmarks asks for a picture without text
            return Score(dict.fromkeys(metric.name for metric in self.metrics), seen)
        if missing := unreadable(self.ocr, asked):
            return Score({}, seen, missing)
        values, counts = self.definition.measure(asked, reading)
        return Score(values, seen | {"counts": counts})


def _language(asked: Asked) -> str:
    return "zh" if script_of(" ".join(asked.texts)) == "cjk" else "en"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _share(counts: Sequence[dict[str, Any]], part: str, whole: str) -> float:
    total = sum(each[whole] for each in counts)
    return sum(each[part] for each in counts) / total if total else 0.0


def _anytext(asked: Asked, reading: Reading) -> tuple[Values, dict[str, Any]]:
    # AnyText reads a crop at the box it was told; other models are told none, so lines are matched by their text.
    alphabet = compat.ENGLISH if _language(asked) == "en" else None
    pairs = zip(asked.texts, match_regions(asked.texts, reading.lines).texts, strict=True)
    lines = [compat.anytext(a, b, alphabet=alphabet) for a, b in pairs]
    counts = {"right": [each[0] for each in lines], "neds": [each[1] for each in lines]}
    return {"sen_acc": _mean(counts["right"]), "ned": _mean(counts["neds"])}, counts


def _anytext_pool(counts: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        "sen_acc": _mean([right for each in counts for right in each["right"]]),
        "ned": _mean([ned for each in counts for ned in each["neds"]]),
    }


def _longtext(asked: Asked, reading: Reading) -> tuple[Values, dict[str, Any]]:
    matched, wanted = compat.longtext(asked.texts, reading.text, language=_language(asked))
    return {"accuracy": matched / wanted if wanted else None}, {"matched": matched, "asked": wanted}


def _oneig(asked: Asked, reading: Reading) -> tuple[Values, dict[str, Any]]:
    edits, complete, matched, wanted = compat.oneig(" ".join(asked.texts), reading.text)
    values: Values = {
        "edit_distance": float(edits),
        "completion": float(complete),
        "word_accuracy": matched / wanted if wanted else None,
    }
    return values, {"parts": (edits, complete, matched, wanted), "language": _language(asked)}


def _oneig_pool(counts: Sequence[dict[str, Any]]) -> dict[str, float]:
    parts = [tuple(each["parts"]) for each in counts]
    language = "zh" if all(each["language"] == "zh" for each in counts) else "en"
    return {
        "edit_distance": _mean([part[0] for part in parts]),
        "completion": _mean([part[1] for part in parts]),
        "word_accuracy": sum(part[2] for part in parts) / (sum(part[3] for part in parts) or 1),
        "text_score": compat.oneig_score(parts, language=language) if any(part[3] for part in parts) else 0.0,
    }


def _asked_words(asked: Asked) -> list[str]:
    return [word for text in asked.texts for word in text.split()]


def _lex(asked: Asked, reading: Reading) -> tuple[Values, dict[str, Any]]:
    pned, recall = compat.lex(_asked_words(asked), reading.lines)
    return {"pned": pned, "recall": recall}, {"pned": pned, "recall": recall}


def _tiif(asked: Asked, reading: Reading) -> tuple[Values, dict[str, Any]]:
    gned, recall = compat.tiif(_asked_words(asked), reading.lines)
    return {"gned": gned, "recall": recall}, {"gned": gned, "recall": recall}


def _means(*names: str) -> Pool:
    return lambda counts: {name: _mean([each[name] for each in counts]) for name in names}


def _cvtg(asked: Asked, reading: Reading) -> tuple[Values, dict[str, Any]]:
    quoted = compat.cvtg_words(asked.prompt)
    words = quoted or [word.lower() for word in _asked_words(asked)]
    right, neds = compat.cvtg(words, reading.lines)
    counts = {"right": right, "asked": len(words), "neds": neds, "words_from": "prompt" if quoted else "ask"}
    return {"word_accuracy": right / len(words), "ned": _mean(neds)}, counts


def _cvtg_pool(counts: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        "word_accuracy": _share(counts, "right", "asked"),
        "ned": _mean([ned for each in counts for ned in each["neds"]]),
    }


def _strict(asked: Asked, reading: Reading) -> tuple[Values, dict[str, Any]]:
    page = " ".join(asked.texts)
    full, cut = compat.strict_bench(page, reading.text), compat.strict_truncated(page, reading.text)
    names = ("wer", "cer", "ned", "wer_truncated", "cer_truncated", "ned_truncated")
    values = dict(zip(names, (*full, *cut), strict=True))
    return dict(values), dict(values)


def _textatlas(asked: Asked, reading: Reading) -> tuple[Values, dict[str, Any]]:
    right, wanted, found, cer = compat.textatlas(" ".join(asked.texts), " ".join(reading.lines))
    values: Values = {
        "accuracy": right / wanted,
        "precision": right / found if found else None,
        "f1": 2 * right / (wanted + found),
        "cer": cer,
    }
    return values, {"right": right, "asked": wanted, "read": found, "cer": cer}


def _textatlas_pool(counts: Sequence[dict[str, Any]]) -> dict[str, float]:
    recall, precision = _share(counts, "right", "asked"), _share(counts, "right", "read")
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"accuracy": recall, "precision": precision, "f1": f1, "cer": _mean([each["cer"] for each in counts])}


def _metric(name: str, source: str, *, lower: bool = False, high: float | None = 1.0, unit: str = "") -> Metric:
    return Metric(name, "lower" if lower else "higher", 0.0, high, unit, source)


_A, _X, _O = "AnyText, arXiv:2311.03054", "LongText-Bench of X-Omni, arXiv:2507.22058", "OneIG-Bench, arXiv:2506.07977"
_L, _T, _C = "LeX-Bench, arXiv:2503.21749", "TIIF-Bench, arXiv:2506.02161", "CVTG-2K of TextCrafter, arXiv:2503.23461"
_S, _TA = "STRICT, arXiv:2505.18985", "TextAtlasEval, arXiv:2502.07870"

DEFINITIONS: dict[str, Definition] = {
    "anytext": Definition((_metric("sen_acc", _A), _metric("ned", _A)), _anytext, _anytext_pool),
    "longtext": Definition(
        (_metric("accuracy", _X),), _longtext, lambda counts: {"accuracy": _share(counts, "matched", "asked")}
    ),
    "oneig": Definition(
        (
            _metric("word_accuracy", _O),
            _metric("completion", _O),
            _metric("edit_distance", _O, lower=True, high=None, unit="characters"),
        ),
        _oneig,
        _oneig_pool,
    ),
    "lex": Definition(
        (_metric("recall", _L), _metric("pned", _L, lower=True, high=None)), _lex, _means("recall", "pned")
    ),
    "tiif": Definition((_metric("recall", _T), _metric("gned", _T, lower=True)), _tiif, _means("recall", "gned")),
    "cvtg": Definition((_metric("word_accuracy", _C), _metric("ned", _C)), _cvtg, _cvtg_pool),
    "strict": Definition(
        tuple(
            _metric(f"{name}{cut}", _S, lower=True, high=1.0 if name == "ned" else None)
            for cut in ("", "_truncated")
            for name in ("ned", "cer", "wer")
        ),
        _strict,
        _means("ned", "cer", "wer", "ned_truncated", "cer_truncated", "wer_truncated"),
    ),
    "textatlas": Definition(
        (
            _metric("accuracy", _TA),
            _metric("precision", _TA),
            _metric("f1", _TA),
            _metric("cer", _TA, lower=True),
        ),
        _textatlas,
        _textatlas_pool,
    ),
}
"""Name after `typography-` to the benchmark's definition."""


def _register(key: str, definition: Definition) -> None:
    source = definition.metrics[0].source.split(",")[0]

    class Maker(PublishedScorer):
        __doc__ = PublishedScorer.__doc__
        name = f"typography-{key}"
        metrics = definition.metrics

        def __init__(self, ocr: OCR | str = "rapidocr", **options: Any) -> None:
            super().__init__(f"typography-{key}", definition, ocr, **options)

    register(f"typography-{key}", f"text figures by the rule of {source}, its faults included")(Maker)


for _key, _definition in DEFINITIONS.items():
    _register(_key, _definition)
