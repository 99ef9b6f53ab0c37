from __future__ import annotations

import difflib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.typography import compat, edits

# One pair of texts, many numbers: Levenshtein, AnyText's NED, STRICT's CER, WER and NED, OneIG's distance, LongText's
# words matched and asked, LeX's PNED, TIIF's GNED. Worked out from the authors' code on texts of ours.
GOLDEN = [
    ("Hello World", "Hello Wrold", 2, 0.818182, 0.1818, 0.5, 0.1667, 2, (1, 2), 0.4, 0.2),
    ("SALE 50%", "sale 50", 5, 0.375001, 0.625, 1.0, 0.625, 4, (2, 2), 1.3333, 0.6667),
    ("Open 24/7", "Open 2417", 1, 0.888889, 0.1111, 0.5, 0.1111, 1, (1, 2), 0.25, 0.125),
    ("New York City", "City New York", 10, 0.230770, 0.7692, 0.6667, 0.5556, 10, (3, 3), 0.0, 0.0),
    ("the the cat", "the cat", 4, 0.636364, 0.3636, 0.3333, 0.3636, 4, (2, 3), 1.0, 0.3333),
    ("a", "bbbb", 4, 2e-06, 4.0, 1.0, 1.0, 4, (0, 1), 1.0, 1.0),
]


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row[0])
def test_golden_rows(row: tuple[str, str, int, float, float, float, float, int, tuple[int, int], float, float]) -> None:
    asked, read, steps, ned, cer, wer, strict_ned, oneig, longtext, pned, gned = row
    assert edits.distance(asked, read) == steps
    assert compat.anytext(asked, read)[1] == pytest.approx(ned, abs=6e-7)
    wer_found, cer_found, ned_found = compat.strict_bench(asked, read)
    assert (wer_found, cer_found, ned_found) == pytest.approx((wer, cer, strict_ned), abs=6e-5)
    assert compat.oneig(asked, read)[0] == oneig
    assert compat.longtext([asked], read) == longtext
    # LeX and TIIF lower texts where they collect them, before the matching that these numbers are of.
    assert compat._matching_cost(asked.split(), read.split()) == pytest.approx(pned, abs=6e-5)
    largest = max(len(asked.split()), len(read.split()))
    assert compat._matching_cost(asked.split(), read.split()) / largest == pytest.approx(gned, abs=6e-5)


def levenshtein(a: str, b: str) -> int:
    """The textbook's table, to check what a library counts."""
    above = list(range(len(b) + 1))
    for row, sign in enumerate(a, 1):
        current = [row]
        for column, other in enumerate(b, 1):
            current.append(min(above[column] + 1, current[-1] + 1, above[column - 1] + (sign != other)))
        above = current
    return above[-1]


TEXT = st.text("abAB 1%é书\n", max_size=14)


@given(TEXT, TEXT)
def test_distances_are_levenshtein(a: str, b: str) -> None:
    assert edits.distance(a, b) == levenshtein(a, b)
    assert edits.normalised(a, b) == pytest.approx(levenshtein(a, b) / max(len(a), len(b), 1))


def test_anytext_faults() -> None:
    assert compat.anytext("SALE", "SALE")[0] == 1
    assert compat.anytext("SALE", "sale")[0] == 0
    assert compat.anytext("x" * 30, "x" * 20)[0] == 1  # cut at twenty
    equal, ned = compat.anytext("书", "店")  # two letters that the dictionary lacks are one sign
    assert equal == 0
    assert ned == 1
    assert compat.anytext("é", " ")[1] == 1  # and that sign is the blank
    assert compat.anytext("书", "店", alphabet=None)[1] == pytest.approx(1e-5, rel=1e-3)


def test_longtext_faults() -> None:
    assert compat.longtext(["Fresh brews"], "fresh BREWS and much more") == (2, 2)  # text too many is free
    assert compat.longtext(["a b", "c"], "c b a") == (3, 3)
    assert compat.longtext(["don't"], "dont") == (1, 1)
    assert compat.longtext(["naïve größe"], "naïve gröe") == (2, 2)  # ß vanishes, ï and ö stay
    assert compat.longtext(["café"], "cafe") == (0, 1)
    assert compat.longtext(["小心 地滑"], "地滑小", language="zh") == (3, 4)
    assert compat.longtext(["open"], "No text recognized.") == (0, 1)
    assert compat.longtext(["addCriterion"], "addCriterion") == (1, 1)  # the first phrase is never removed
    assert compat.longtext(["open"], "No text recognized") == (0, 1)


def test_oneig_faults() -> None:
    assert compat.oneig("Open Now", "Open Now") == (0, 1, 2, 2)
    assert compat.oneig("Open now", "open now") == (1, 0, 1, 2)  # case counts
    assert compat.oneig("Open now", "Open now 书") == (2, 0, 0, 2)  # one Chinese letter joins the words
    assert compat.oneig("书店 A", "书店A") == (0, 1, 3, 3)
    assert compat.oneig("Open", "addCriterionOpen") == (0, 1, 1, 1)
    assert compat.oneig("", "") == (0, 1, 0, 0)
    parts = [(0, 1, 2, 2), (10, 0, 0, 2)]
    assert compat.oneig_score(parts) == pytest.approx(1 - 5 * 0.5 * 0.5 / 100)
    assert compat.oneig_score(parts, language="zh") == pytest.approx(1 - 5 * 0.5 * 0.5 / 50)
    assert compat.oneig_score([(1000, 0, 0, 1)]) == 0
    mean_of_pictures = sum(compat.oneig_score([part]) for part in parts) / 2
    assert mean_of_pictures != pytest.approx(compat.oneig_score(parts))  # which is why no picture has a score


def test_lex_and_tiif_faults() -> None:
    assert compat.lex(["sale"], []) == (1.0, 0.0)  # nothing costs what a wrong word costs
    assert compat.lex(["sale"], ["wxyz"]) == (1.0, 0.0)
    assert compat.lex(["sale", "now"], ["sale  now"]) == (1.0, 1.0)  # two blanks make an empty word
    assert compat.lex(["SALE"], ["Sale"]) == (0.0, 1.0)
    assert compat.lex(["sale"], ["a b c d e f"])[0] > 5  # no upper end
    assert compat.tiif(["sale"], ["a b c d e f"])[0] <= 1
    # Recall takes the first word within 0.3: "abcdefghij" takes the read "abcdefghix", which leaves the other nothing.
    assert compat.lex(["abcdefghij", "abcdefghix"], ["abcdefghix", "zzzzzzzzzz"])[1] == 0.5
    assert compat.tiif(["sale", "now"], ["sale"]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="words"):
        compat.lex([], ["sale"])


def test_cvtg_faults() -> None:
    prompt = "a shop with 'Open Late' and 'Cash only'"
    assert compat.cvtg_words(prompt) == ["open", "late", "cash", "only"]
    right, neds = compat.cvtg(compat.cvtg_words(prompt), ["OPEN", "cash onlv"])
    assert right == 2
    assert neds[0] == neds[2] == 1
    assert neds[3] == pytest.approx(0.75, abs=1e-5)
    assert compat.cvtg(["go", "go"], ["GO"])[0] == 2  # read once, right twice
    assert compat.cvtg(["go"], [])[1] == pytest.approx([0], abs=1e-5)  # nothing read is one empty word
    assert compat.cvtg_words("the dog's bowl and the cat's 'milk'") == ["s", "bowl", "and", "the", "cat", "milk"]


@given(st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=4), st.lists(st.text("abc ", max_size=8)))
def test_cvtg_takes_difflibs_closest(wanted: list[str], lines: list[str]) -> None:
    read = [word for line in lines for word in line.split()] or [""]
    expected = []
    for word in wanted:
        ranked = sorted(((difflib.SequenceMatcher(None, other, word).ratio(), other) for other in read), reverse=True)
        other = ranked[0][1]
        expected.append(1 - levenshtein(word, other) / (max(len(word), len(other)) + 1e-5))
    assert compat.cvtg(wanted, lines)[1] == pytest.approx(expected)


def test_strict_faults() -> None:
    assert compat.strict_bench("", "") == (0, 0, 0)
    assert compat.strict_bench("a", "") == compat.strict_bench("", "a") == (1, 1, 1)
    assert compat.strict_bench("a b", " a \n b ") == (0, 0, 0)
    assert compat.strict_bench("Sale", "sale") == pytest.approx((1, 0.25, 0.25))
    assert compat.strict_truncated("one two three", "one two") == (0, 0, 0)  # text that breaks off is forgiven
    assert compat.strict_truncated("one two", "") == (0, 0, 0)  # and so is no text at all
    assert compat.strict_truncated("one", "one two") == compat.strict_bench("one", "one two")


@given(TEXT, TEXT)
def test_stricts_ned_lies_between_its_neighbours(a: str, b: str) -> None:
    x, y = (re.sub(r"\s+", " ", text).strip() for text in (a, b))
    if x and y:
        ned = compat.strict_bench(a, b)[2]
        edits = levenshtein(x, y)
        assert edits / (len(x) + len(y)) <= ned <= edits / max(len(x), len(y)) + 1e-12


def test_textatlas_faults() -> None:
    right, asked, read, cer = compat.textatlas("Bath House", "bat house")
    assert (right, asked, read) == (2, 2, 2)  # bat is right for bath
    assert cer == pytest.approx(3 / 10)
    assert compat.textatlas("sale", "bale") == (0, 1, 1, 0.25)  # 75 is below 80
    assert compat.textatlas("a", "a a a")[:3] == (1, 1, 3)
    assert compat.textatlas("", "ghost") == (0, 0, 1, 0.0)
    assert compat.textatlas("abcd", "")[3] == 1
