from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.redaction import redact, redact_all

HOME = Path("/home/ada")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql+psycopg://me:pa:ss/w@host:5432/db?x=1", "postgresql+psycopg://me:***@host:5432/db?x=1"),
        ("redis://:sesame@host/0", "redis://:***@host/0"),
        ("https://host/path?token=abc&x=1", "https://host/path?token=***&x=1"),
        ("HF_TOKEN=hf_abcdefghijkl", "HF_TOKEN=***"),
        ("with hf_abcdefghijkl in it", "with *** in it"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ('"password": "sesame"', '"password": "***"'),
        ("api_key='k1'", "api_key='***'"),
        ("512 tokens: fine, max_sequence_length=512", "512 tokens: fine, max_sequence_length=512"),
        ("/home/ada/pictures and /home/ada", "~/pictures and ~"),
        ("/home/adam/pictures", "/home/adam/pictures"),
        ("sqlite:////home/ada/w.sqlite", "sqlite:///~/w.sqlite"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_redact(text: str, expected: str) -> None:
    assert redact(text, home=HOME) == expected


def test_redact_goes_into_every_corner() -> None:
    value = {"a": ["x://u:p@h", {"/home/ada/k": ("/home/ada", 3, None)}]}
    assert redact_all(value, home=HOME) == {"a": ["x://u:***@h", {"~/k": ["~", 3, None]}]}


@given(st.text(), st.text(st.characters(categories=["L", "N"]), min_size=6).filter(lambda word: word not in "password"))
def test_no_password_survives(before: str, secret: str) -> None:
    for text in (f"{before} x://user:{secret}@host", f"{before} password={secret}", f'{before} "token": "{secret}"'):
        shown = redact(text, home=HOME)
        assert not shown.endswith(secret)
        assert shown.count(secret) <= redact(before, home=HOME).count(secret)
        json.dumps(shown)
