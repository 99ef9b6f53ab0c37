"""The judge of scenes as a scorer: is everything right, and each single check."""

from __future__ import annotations

from collections.abc import Sequence

from evals.scenes.judge import judge
from evals.scenes.prompt import PromptError, expected_of, parse
from evals.scenes.read import RapidReader, Reader
from evals.scenes.verdict import VERSION, CheckName, asked
from evals.scoring import Metric, Sample, Score, register

_CHECKS: dict[CheckName, str] = {
    "background": "the background has the colour asked for",
    "count": "the number of objects is right",
    "shape": "every object has its shape",
    "colour": "every object has its colour",
    "size": "objects called small or large are so",
    "relation": "two objects stand as asked",
    "place": "everything that an edit moves or keeps is where it should be, in its size",
    "word": "the word reads exactly as asked",
}


@register("scene", "the embedded model's scenes: objects, colours, places and words, judged by the pixels alone")
class SceneScorer:
    """Shares of pictures that pass: everything (`exact`), and each check that the prompt asks for.

    Args:
        reader: reads words; default: RapidOCR, which needs the extra `evals`.

    Raises:
        ReaderError: no OCR engine is there.
    """

    name = "scene"
    reads = ()
    metrics = (
        Metric("exact", source="every check of the prompt holds (docs/evals_nano.md)"),
        *(Metric(check, source=about) for check, about in _CHECKS.items()),
    )

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or RapidReader()

    @property
    def version(self) -> str:
        """Of the judge and the reader."""
        return f"{VERSION}+{self._reader.name}-{self._reader.version}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample; a prompt outside the scene grammar is an error."""
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Score:
        try:
            scene = sample.ask.get("scene")
            expected = expected_of(scene) if scene else parse(sample.prompt)
        except PromptError as error:
            return Score({}, error=error.message)
        verdict = judge(sample.picture, expected, reader=self._reader)
        names = asked(expected)
        values: dict[str, float | None] = {"exact": _value(verdict.right)}
        values |= {check: _value(verdict.checks[check].ok) if check in names else None for check in _CHECKS}
        seen = {"background": verdict.background, "objects": [str(look) for look in verdict.objects]}
        faults = [verdict.checks[check].why for check in names if verdict.checks[check].ok is False]
        read = {"text": verdict.text} if verdict.text is not None else {}
        return Score(values, seen | read | ({"faults": faults} if faults else {}))


def _value(ok: bool | None) -> float | None:
    return None if ok is None else float(ok)
