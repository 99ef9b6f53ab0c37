from __future__ import annotations

from random import Random
from string import ascii_uppercase

import pytest

from evals.scenes.judge import judge
from evals.scenes.read import RapidReader, read_word, same_text
from tests.evals.judging import damaged, scenes
from workbench.nano.render import render
from workbench.nano.scenes import Item, Scene


@pytest.fixture(scope="module")
def reader() -> RapidReader:
    pytest.importorskip("rapidocr", reason="the extra 'evals' is not installed")
    return RapidReader()


def word_scene(text: str, *, radius: float = 0.3, colour: str = "blue") -> Scene:
    prompt = f'the word "{text}" in {colour} on a white background'
    return Scene("word", "white", (Item("word", colour, 0.5, 0.5, radius, text),), prompt)


def test_reads_words_clean(reader: RapidReader) -> None:
    wrong = []
    chosen = scenes(36, seed=43, kinds=("word", "word+shape"))
    for scene in chosen:
        verdict = judge(render(scene), scene.prompt, reader=reader)
        if not verdict.right:
            wrong.append((scene.prompt, verdict.text))
    assert len(wrong) <= 0.03 * len(chosen), wrong


def test_reads_words_damaged(reader: RapidReader) -> None:
    """The ink's colour is not asked for: strokes of three pixels that are blurred and compressed lose it."""
    wrong = []
    chosen = scenes(36, seed=44, kinds=("word", "word+shape"))
    for index, scene in enumerate(chosen):
        verdict = judge(damaged(render(scene), index), scene.prompt, reader=reader)
        if not verdict.checks["word"].ok:
            wrong.append((scene.prompt, verdict.text))
    assert len(wrong) <= 0.06 * len(chosen), wrong


def test_reads_every_capital_alone(reader: RapidReader) -> None:
    wrong = [
        letter
        for letter in ascii_uppercase
        if not judge(render(s := word_scene(letter, radius=0.13)), s.prompt, reader=reader).right
    ]
    assert len(wrong) <= 1, wrong


def test_refuses_words_with_one_letter_changed(reader: RapidReader) -> None:
    rng = Random(47)
    passed = []
    for scene in scenes(16, seed=53, kinds=("word",)):
        text = scene.items[0].text
        place = rng.randrange(len(text))
        other = rng.choice([letter for letter in ascii_uppercase if letter != text[place]])
        prompt = scene.prompt.replace(f'"{text}"', f'"{text[:place]}{other}{text[place + 1 :]}"')
        if judge(render(scene), prompt, reader=reader).checks["word"].ok:
            passed.append((text, prompt))
    assert passed == []


def test_an_empty_picture_reads_as_nothing(reader: RapidReader) -> None:
    assert read_word(reader, ()) == ""
    blank = render(Scene("word", "white", (), ""))
    verdict = judge(blank, 'the word "CAT" in red on a white background', reader=reader)
    assert verdict.text == ""
    assert verdict.checks["word"].ok is False


def test_an_object_beside_the_word_is_one_too_many(reader: RapidReader) -> None:
    scene = word_scene("CAT")
    items = (*scene.items, Item("circle", "blue", 0.5, 0.85, 0.1))
    verdict = judge(render(Scene("word", "white", items, scene.prompt)), scene.prompt, reader=reader)
    assert verdict.checks["word"].ok is True
    assert verdict.checks["count"].ok is False


@pytest.mark.parametrize(("wanted", "got"), [("OIL", "0lL"), ("COW", "c0w"), ("NO", " N O ")])
def test_lookalikes_are_equal(wanted: str, got: str) -> None:
    assert same_text(wanted, got)


@pytest.mark.parametrize(
    ("wanted", "got"), [("CAT", "CAB"), ("CAT", "cat"), ("SUN", "SUNN"), ("A", ""), ("S", "5"), ("B", "8")]
)
def test_other_texts_are_not(wanted: str, got: str) -> None:
    assert not same_text(wanted, got)
