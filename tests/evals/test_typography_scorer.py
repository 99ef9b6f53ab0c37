from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from PIL import Image

from evals import scorers
from evals.scoring import Sample, Scorer, ScorerError, picture_digest
from evals.typography import compat
from evals.typography.ocr import OCR, OcrError, Reading, Region, make_ocr
from evals.typography.published import DEFINITIONS
from evals.typography.readers import read_samples
from evals.typography.scorer import TypographyScorer


@dataclass
class Spelled:
    """An engine that reads what it is told of pictures by their colour."""

    texts: dict[tuple[int, int, int], list[str] | None]
    name: str = "spelled"
    version: str = "1"
    alphabet: frozenset[str] | None = None
    asked: int = 0
    seen: list[int] = field(default_factory=list)

    def read(self, pictures: Sequence[Image.Image]) -> list[Reading]:
        self.seen.append(len(pictures))
        found = []
        for picture in pictures:
            lines = self.texts[picture.getpixel((0, 0))]  # type: ignore[index]  # RGB pictures have tuples
            found.append(Reading(error="broken") if lines is None else Reading(tuple(Region(line) for line in lines)))
        return found


def sample(shade: int, prompt: str = "", **ask: object) -> Sample:
    picture = Image.new("RGB", (8, 8), (shade, 0, 0))
    return Sample(picture, prompt, picture_digest(picture), ask)


def engine(*texts: list[str] | None, version: str) -> Spelled:
    return Spelled({(shade, 0, 0): lines for shade, lines in enumerate(texts)}, version=version)


def test_one_bad_picture_spoils_no_other() -> None:
    ocr = engine(["SALE"], None, ["Exit"], version="bad-picture")
    found = TypographyScorer(ocr).score([sample(0, text=["SALE"]), sample(1, text=["SALE"]), sample(2, text=["EXIT"])])
    assert [score.error for score in found] == ["", "broken", ""]
    assert found[0].values["word_accuracy_strict"] == 1
    assert found[1].values == {}
    assert found[2].values["word_accuracy_strict"] == 0
    assert found[2].values["word_accuracy_caseless"] == 1


def test_where_the_texts_come_from_is_shown() -> None:
    ocr = engine(["SALE"], version="origin")
    scorer = TypographyScorer(ocr)
    told, quoted, nothing, wrong, none = scorer.score(
        [
            sample(0, text=["SALE"]),
            sample(0, 'a shop with "SALE"'),
            sample(0, "a shop"),
            sample(0, text="SALE"),
            sample(0, text=[]),
        ]
    )
    assert (told.seen["asked_from"], quoted.seen["asked_from"]) == ("ask", "prompt")
    assert told.values == quoted.values
    assert nothing.seen["asked_from"] == "nothing"
    assert set(nothing.values.values()) == {None}
    assert "list of texts" in wrong.error
    assert none.values["false_text"] == 1
    assert json.loads(json.dumps(told.seen)) == told.seen


def test_scripts_the_engine_cannot_read_are_errors_not_zeros() -> None:
    ocr = engine(["???"], version="alphabet")
    ocr.alphabet = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ?")
    hebrew, accent = TypographyScorer(ocr).score([sample(0, text=["שלום"]), sample(0, text=["Café"])])
    assert "has no letters for" in hebrew.error
    assert hebrew.seen["script"] == "rtl"
    assert accent.error == ""  # an accent that is lost is one edit
    ocr.alphabet = None
    assert TypographyScorer(ocr).score([sample(0, text=["שלום"])])[0].error == ""


def test_pictures_are_read_once_for_all_scorers() -> None:
    ocr = engine(["SALE"], ["Exit"], None, version="once")
    samples = [sample(0, text=["SALE"]), sample(1, text=["EXIT"]), sample(0, text=["NO"]), sample(2, text=["A"])]
    TypographyScorer(ocr).score(samples)
    assert ocr.seen == [3]  # the same picture twice is read once
    for name in DEFINITIONS:
        scorers.make_scorer(f"typography-{name}", ocr=ocr).score(samples)
    assert ocr.seen[1:] == [1] * len(DEFINITIONS)  # only the failure is tried again
    assert [reading.text for reading in read_samples(ocr, samples)][:3] == ["SALE", "Exit", "SALE"]


def test_versions_hold_rule_and_engine() -> None:
    first, second = (TypographyScorer(engine(version=version)) for version in ("1", "2"))
    assert first.version != second.version
    assert "spelled-1" in first.version
    assert isinstance(first, Scorer)
    assert isinstance(first.ocr, OCR)


PAGE = ["Open Late", "cash only now"]


def test_published_figures_of_one_picture_and_of_a_set() -> None:
    ocr = engine(PAGE, ["OPEN"], [], version="published")
    asked = ["Open Late", "Cash only"]
    samples = [
        sample(0, "says 'Open Late' and 'Cash only'", text=asked),
        sample(1, text=["Open Late"]),
        sample(2, text=["A"]),
    ]
    for name, definition in DEFINITIONS.items():
        scorer = scorers.make_scorer(f"typography-{name}", ocr=ocr)
        scores = scorer.score(samples)
        for score in scores:
            assert score.error == ""
            assert set(score.values) == {metric.name for metric in scorer.metrics}
            for metric in scorer.metrics:
                value = score.values[metric.name]
                assert value is None or (value >= metric.low and (metric.high is None or value <= metric.high + 1e-4))
        pooled = scorer.pool(scores)  # type: ignore[attr-defined]  # only these scorers have it
        assert {metric.name for metric in definition.metrics} <= set(pooled)
        assert json.loads(json.dumps([score.seen for score in scores]))


def test_pooled_figures_weigh_words_not_pictures() -> None:
    ocr = engine(["one two three"], ["x"], version="pool")
    samples = [sample(0, text=["one two three"]), sample(1, text=["y"])]
    longtext = scorers.make_scorer("typography-longtext", ocr=ocr)
    scores = longtext.score(samples)
    assert [score.values["accuracy"] for score in scores] == [1, 0]
    assert longtext.pool(scores) == {"accuracy": 0.75}  # type: ignore[attr-defined]
    oneig = scorers.make_scorer("typography-oneig", ocr=ocr)
    pooled = oneig.pool(oneig.score(samples))  # type: ignore[attr-defined]
    assert pooled["text_score"] == compat.oneig_score([(0, 1, 3, 3), (1, 0, 0, 1)])
    assert oneig.pool([]) == {}  # type: ignore[attr-defined]


def test_pictures_without_text_have_no_published_figure() -> None:
    ocr = engine(["ghost"], version="textless")
    for name in DEFINITIONS:
        (score,) = scorers.make_scorer(f"typography-{name}", ocr=ocr).score([sample(0, text=[])])
        assert set(score.values.values()) == {None}
        assert score.error == ""


def test_all_are_listed() -> None:
    names = scorers.scorer_names()
    assert "typography" in names
    assert {f"typography-{name}" for name in DEFINITIONS} <= set(names)


@pytest.mark.parametrize(
    "name", ["tesserakt", "vlm", "replay", "rapidocr:x", "vlm:/no/such/folder", "replay:/no/file.json"]
)
def test_engines_that_are_not_there(name: str) -> None:
    with pytest.raises(OcrError) as caught:
        make_ocr(name)
    assert caught.value.remedy
    with pytest.raises(ScorerError):
        TypographyScorer(name)
