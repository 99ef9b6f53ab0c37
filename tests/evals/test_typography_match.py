from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.typography.match import MOST_LINES, match_regions
from evals.typography.ocr import Region, in_reading_order


@pytest.mark.parametrize(
    ("wanted", "lines", "texts", "extra"),
    [
        (["OPEN", "CLOSED"], ["CLOSED", "OPEN"], ("OPEN", "CLOSED"), ()),  # order is no matter
        (["Hill Street Books"], ["Hill Street", "Books"], ("Hill Street Books",), ()),  # broken lines join
        (["Fresh figs", "Exit"], ["Fresh figs Exit"], ("Fresh figs", "Exit"), ()),  # two texts run together
        (["Fresh figs", "Exit"], ["Exit Fresh figs"], ("Fresh figs", "Exit"), ()),
        (["SALE"], ["SALE", "qwzzy"], ("SALE",), ("qwzzy",)),
        (["SALE"], [], ("",), ()),
        (["SALE", "SALE"], ["SALE"], ("SALE", ""), ()),  # read once, asked twice
        (["SALE"], ["SALE", "SALE"], ("SALE",), ("SALE",)),
        ([], ["ghost"], (), ("ghost",)),
        (["SALE"], ["XQ"], ("",), ("XQ",)),  # what brings nothing nearer is extra
        (["欢迎光临"], ["欢迎", "光临"], ("欢迎光临",), ()),
        (["one two three", "four five"], ["one two", "three four", "five"], ("one two three", "four five"), ()),
        (["EXIT"], ["THIS WAY EXIT"], ("EXIT",), ("THIS WAY",)),
    ],
)
def test_lines_find_their_texts(
    wanted: list[str], lines: list[str], texts: tuple[str, ...], extra: tuple[str, ...]
) -> None:
    found = match_regions(wanted, lines)
    assert found.texts == texts
    assert found.extra == extra


WORD = st.text("abcXY", min_size=1, max_size=5)
LINE = st.lists(WORD, min_size=1, max_size=4).map(" ".join)


@given(st.lists(LINE, min_size=1, max_size=4), st.lists(LINE, max_size=6))
def test_nothing_read_is_lost_or_invented(wanted: list[str], lines: list[str]) -> None:
    found = match_regions(wanted, lines)
    assert len(found.texts) == len(wanted)
    letters = sorted("".join(lines).replace(" ", ""))
    assert sorted("".join((*found.texts, *found.extra)).replace(" ", "")) == letters


@given(st.lists(LINE, min_size=1, max_size=4))
def test_what_was_read_right_matches_right(wanted: list[str]) -> None:
    assert match_regions(wanted, wanted[::-1]).texts == tuple(wanted)


def test_noise_is_bounded() -> None:
    lines = ["ab"] * (MOST_LINES + 50)
    assert len(match_regions(["ab ab ab"], lines).extra) == len(lines) - 3


def test_reading_order() -> None:
    boxes = {"b": (60, 2, 90, 12), "a": (0, 0, 50, 10), "c": (0, 30, 50, 40), "d": (55, 28, 90, 39)}
    regions = [Region(name, (float(x), float(y), float(u), float(v))) for name, (x, y, u, v) in boxes.items()]
    assert [region.text for region in in_reading_order(regions)] == ["a", "b", "c", "d"]
