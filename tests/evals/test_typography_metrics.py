from __future__ import annotations

from collections import Counter

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from evals.typography.metrics import METRICS, measure
from evals.typography.normalise import VIEWS, caseless, strict, words

WORD = st.text("abcAB1.'", min_size=1, max_size=6).filter(lambda word: any(sign.isalnum() for sign in word))
TEXT = st.lists(WORD, min_size=1, max_size=5).map(" ".join)


@given(TEXT, TEXT)
def test_one_text_and_one_line_equal_the_libraries(asked: str, read: str) -> None:
    values = measure([asked], [read])
    a, b = strict(asked), strict(read)
    if Levenshtein.distance(a, b) >= len(a):
        return  # a line that brings the text no nearer belongs to none; see test_typography_match.py
    assert values["cer_strict"] == pytest.approx(jiwer.cer(a, b))
    assert values["wer_strict"] == pytest.approx(jiwer.wer(a, b))
    assert values["ned_strict"] == pytest.approx(1 - Levenshtein.normalized_distance(a, b))
    assert values["sentence_accuracy_strict"] == float(a == b)


@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, max_size=4))
def test_words_are_a_multiset(asked: list[str], lines: list[str]) -> None:
    values = measure(asked, lines)
    wanted = Counter(word for text in asked for word in caseless(text).split())
    read = Counter(word for line in lines for word in caseless(line).split())
    hits = sum((wanted & read).values())
    assert values["word_accuracy_caseless"] == pytest.approx(hits / sum(wanted.values()))
    assert values["word_precision_caseless"] == (pytest.approx(hits / sum(read.values())) if read else None)
    assert values["extra_words"] == sum((read - wanted).values())


@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, max_size=4))
def test_ranges_and_the_order_of_views(asked: list[str], lines: list[str]) -> None:
    values = measure(asked, lines)
    assert set(values) == {metric.name for metric in METRICS}
    for metric in METRICS:
        value = values[metric.name]
        if value is not None:
            assert value >= metric.low
            assert metric.high is None or value <= metric.high + 1e-12
    for kind in ("word_accuracy", "sentence_accuracy"):
        least, middle, most = (values[f"{kind}_{view}"] for view in VIEWS)
        assert least is not None
        assert middle is not None
        assert least <= middle
        if kind == "sentence_accuracy" and most is not None:
            assert middle <= most + 1  # signs that vanish may change the matching, never past a share of one


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_a_perfect_picture_is_perfect(asked: list[str]) -> None:
    values = measure(asked, asked)
    for metric in METRICS:
        value = values[metric.name]
        if value is not None and metric.name != "ned_anytext":
            assert value == (1 if metric.direction == "higher" else 0), metric.name
    assert values["ned_anytext"] == pytest.approx(1)


def test_case_punctuation_and_blanks() -> None:
    values = measure(["SALE 50%"], ["sale 50"])
    assert [values[f"word_accuracy_{view}"] for view in VIEWS] == [0, 0.5, 1]
    assert [values[f"sentence_accuracy_{view}"] for view in VIEWS] == [0, 0, 1]
    assert measure(["New York"], ["NewYork"])["sentence_accuracy_spaceless"] == 1
    assert measure(["New York"], ["NewYork"])["sentence_accuracy_strict"] == 0
    assert measure(["SALE"], ["sale"], any_case=True)["word_accuracy_strict"] == 1


def test_extra_duplicated_and_false_text() -> None:
    twice = measure(["SALE"], ["SALE", "SALE now"])
    assert (twice["extra_words"], twice["duplicated_words"]) == (2, 1)
    assert twice["word_accuracy_strict"] == 1
    assert twice["word_precision_strict"] == pytest.approx(1 / 3)
    assert twice["false_text"] is None
    assert measure([], ["ghost text"])["false_text"] == 1
    assert measure([], ["ghost text"])["extra_words"] == 2
    clean = measure([], [])
    assert clean["false_text"] == 0
    assert clean["word_accuracy_strict"] is None
    assert measure([], ["★", "●"])["false_text"] == 0  # a drawing, not writing
    assert measure(["5 ★"], ["5 ★"])["word_accuracy_strict"] == 1


def test_nothing_read() -> None:
    values = measure(["SALE now"], [])
    assert values["word_accuracy_strict"] == 0
    assert values["word_precision_strict"] is None
    assert values["word_f1_strict"] == 0
    assert values["cer_strict"] == values["wer_strict"] == 1
    assert values["ned_strict"] == 0


def test_a_text_of_signs_has_no_alphanumeric_view() -> None:
    values = measure(["!!!"], ["!!!"])
    assert values["word_accuracy_strict"] == 1
    assert values["word_accuracy_alphanumeric"] is None


def test_more_read_than_asked_exceeds_one() -> None:
    assert measure(["ab"], ["ab xxxxxx"])["word_precision_strict"] == 0.5
    values = measure(["cat"], ["catcatcat"])
    assert values["cer_strict"] is not None
    assert values["cer_strict"] == 1  # a line no nearer than nothing is extra text, not six insertions
    assert values["extra_words"] == 1


@pytest.mark.parametrize(
    ("asked", "read", "accuracy", "cer"),
    [("欢迎光临", "欢迎光监", 0.75, 0.25), ("שלום עולם", "שלום", 0.5, 5 / 9), ("新年快乐", "新年", 0.5, 0.5)],
)
def test_other_scripts(asked: str, read: str, accuracy: float, cer: float) -> None:
    values = measure([asked], [read])
    assert values["word_accuracy_strict"] == accuracy
    assert values["cer_strict"] == pytest.approx(cer)
    assert len(words(strict(asked))) == (4 if " " not in asked else 2)


def test_metric_names_are_unique_and_name_their_view() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert names[0] == "word_accuracy_strict"
    assert all(metric.source for metric in METRICS)
