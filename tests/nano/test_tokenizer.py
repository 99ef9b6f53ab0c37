"""The tokenizer spells what stands in quotes and keeps the grammar's words whole."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.nano.model import tokenize
from workbench.nano.scenes import sample_scene
from workbench.nano.tokenizer import LEXICON, build_tokenizer

TOKENIZER = build_tokenizer()


def test_letters_in_quotes_are_one_token_each() -> None:
    tokens = TOKENIZER.tokenize(' the word "HELLO" in red')
    start = tokens.index("H")
    assert tokens[start : start + 5] == list("HELLO")
    assert TOKENIZER.tokenize(' "cat"')[1:4] == list("cat")


@pytest.mark.parametrize("word", LEXICON)
def test_lexicon_words_are_one_token(word: str) -> None:
    assert len(TOKENIZER.tokenize(f" {word}")) == 1


@given(st.text(max_size=60))
def test_any_text_survives_the_round_trip(text: str) -> None:
    import unicodedata

    expected = unicodedata.normalize("NFC", text)
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == expected


def test_every_prompt_of_the_grammar_fits() -> None:
    rng = Random(1)
    ids, mask = tokenize(TOKENIZER, [sample_scene(rng).prompt for _ in range(2000)], 24)
    assert ids.shape == mask.shape == (2000, 24)
    assert mask.sum(1).max() <= 22


def test_training_refuses_a_cut_sentence() -> None:
    with pytest.raises(ValueError, match="more than 24"):
        tokenize(TOKENIZER, ["words " * 40], 24)
