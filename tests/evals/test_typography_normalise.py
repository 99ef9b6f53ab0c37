from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evals.scoring import Sample
from evals.typography.ask import AskedTextError, asked_of, quoted
from evals.typography.normalise import NORMALISERS, VIEWS, View, alphanumeric, caseless, script_of, strict, words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  SALE \n 50%  ", ("SALE 50%", "sale 50%", "sale 50")),
        ("“Don’t” — stop…", ('"Don\'t" - stop...', '"don\'t" - stop...', "dont stop")),
        ("Straße", ("Straße", "strasse", "strasse")),
        ("ＡＢ１", ("AB1", "ab1", "ab1")),
        ("e\u0301t\u00e9", ("été", "été", "été")),
        ("24/7", ("24/7", "24/7", "247")),
        ("\u200fשלום\u200e", ("שלום",) * 3),
        ("ﺳﻼم", ("سلام",) * 3),  # presentation forms as an engine may give them
        ("你 好！", ("你 好!", "你 好!", "你 好")),
        ("★", ("★", "★", "")),
        (" \t", ("", "", "")),
    ],
)
def test_three_views(text: str, wanted: tuple[str, str, str]) -> None:
    assert tuple(NORMALISERS[view](text) for view in VIEWS) == wanted


@given(st.text(max_size=40))
def test_views_are_stable_and_each_follows_from_the_stricter_one(text: str) -> None:
    for view in VIEWS:
        once = NORMALISERS[view](text)
        assert NORMALISERS[view](once) == once
    assert caseless(strict(text)) == caseless(text)
    assert alphanumeric(caseless(text)) == alphanumeric(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hello big world", ["hello", "big", "world"]),
        ("欢迎光临", ["欢", "迎", "光", "临"]),
        ("卡拉OK bar", ["卡", "拉", "OK", "bar"]),
        ("コーヒー 1 杯", ["コ", "ー", "ヒ", "ー", "1", "杯"]),
        ("한국 음식", ["한국", "음식"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("", []),
    ],
)
def test_words(text: str, wanted: list[str]) -> None:
    assert words(text) == wanted


@pytest.mark.parametrize(
    ("text", "script"), [("abc", ""), ("书店 A", "cjk"), ("かな", "cjk"), ("سلام", "rtl"), ("", "")]
)
def test_scripts(text: str, script: str) -> None:
    assert script_of(text) == script


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ('a sign that says "OPEN" and "Back at 5"', ("OPEN", "Back at 5")),
        ("a mug with 'Good Morning' on it", ("Good Morning",)),
        ("a mug with 'Don't Panic' on it", ("Don't Panic",)),
        ("the dog's bowl isn't full", ()),
        ("ein Schild „Geöffnet“ und «Ouvert»", ("Geöffnet", "Ouvert")),
        ("牌子上写着「书店」", ("书店",)),
        ('nothing "" and " " here', ()),
        ("", ()),
    ],
)
def test_quotation_marks(prompt: str, wanted: tuple[str, ...]) -> None:
    assert quoted(prompt) == wanted


def sample(prompt: str = "", /, **ask: object) -> Sample:
    return Sample(Image.new("RGB", (8, 8)), prompt, "0" * 64, ask)


def test_the_row_goes_before_the_prompt() -> None:
    assert asked_of(sample('says "B"', text=["A"])).texts == ("A",)
    assert asked_of(sample('says "B"')).origin == "prompt"
    assert asked_of(sample('says "B"', text=[])).texts == ()
    assert asked_of(sample('says "B"', text=[])).origin == "ask"
    assert asked_of(sample("a cat")).origin == "nothing"


@pytest.mark.parametrize(
    "ask", [{"text": "A"}, {"text": [1]}, {"text": ["A", " "]}, {"text": ["A"], "text_case": "no"}]
)
def test_what_cannot_be_measured_is_said(ask: dict[str, object]) -> None:
    with pytest.raises(AskedTextError):
        asked_of(sample("", **ask))


def test_every_view_has_a_name() -> None:
    views: tuple[View, ...] = ("strict", "caseless", "alphanumeric")
    assert views == VIEWS
