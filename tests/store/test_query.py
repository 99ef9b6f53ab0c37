"""The query language: what is printed reads back, errors point at the place, and meanings are those of Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.recipe import Recipe
from workbench.store.errors import QueryError
from workbench.store.fields import FIELDS, find_field, read_value
from workbench.store.query import All, Compare, Either, Node, Not, Text, parse

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
NUMBERS = st.integers(-(10**20), 10**20).map(str) | st.floats(allow_nan=False, allow_infinity=False).map(str)
MOMENTS = st.sampled_from(
    ["2026", "2026-11", "2026-11-22", "2026-11-22T16:30", "today", "yesterday", "7d", "12h", "2w"]
)
HEX = st.text("0123456789abcdef", min_size=1, max_size=64)
VALUES = {
    "text": TEXTS,
    "words": TEXTS,
    "name": TEXTS,
    "number": NUMBERS,
    "moment": MOMENTS,
    "digest": HEX,
    "size": st.sampled_from(["64x64", "1024x768"]),
    "flag": st.sampled_from(["star", "note", "trash", "edit"]),
}  # fmt: skip
NAMES = st.sampled_from([*FIELDS, "score.clip", "score.scene.accuracy", "adapter.my-lora", "environment.torch", "mask"])


@st.composite
def comparisons(draw: Any) -> Compare:
    field = find_field(draw(NAMES))
    value = draw(VALUES[field.kind])
    if field.kind in ("number", "moment") and draw(st.booleans()):
        return Compare(field.name, ":", value, draw(VALUES[field.kind]))
    return Compare(field.name, draw(st.sampled_from(field.operators)), value)


def _larger(parts: Any) -> Any:
    several = st.lists(parts, min_size=2, max_size=4).map(tuple)
    return parts.map(Not) | several.map(All) | several.map(Either)


NODES = st.recursive(TEXTS.map(Text) | comparisons(), _larger, max_leaves=12)


@given(NODES)
def test_what_is_printed_reads_back(node: Node) -> None:
    assert parse(str(node)) == node


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_an_error_with_a_place(text: str) -> None:
    try:
        node = parse(text)
    except QueryError as error:
        wrong = error
    else:
        assert parse(str(node)) == node
        return
    assert 0 <= wrong.position <= len(text)
    assert wrong.message.endswith(".")
    assert wrong.pointer.endswith("^")


def test_the_example_of_the_documentation() -> None:
    query = 'model:klein steps>=8 tag:good "red circle" score.clip>0.3 created>2026-11-01 adapter:NAME -star'
    assert parse(query) == All((
        Compare("model", ":", "klein"), Compare("steps", ">=", "8"), Compare("tag", ":", "good"), Text("red circle"),
        Compare("score.clip", ">", "0.3"), Compare("created", ">", "2026-11-01"), Compare("adapter", ":", "NAME"),
        Not(Compare("is", ":", "star")),
    ))  # fmt: skip
    assert str(parse(query)) == query


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("", All(())),
        ("  \n", All(())),
        ("star", Compare("is", ":", "star")),
        ('"star"', Text("star")),
        ("a or b c", Either((Text("a"), All((Text("b"), Text("c")))))),
        ("(a or b) c", All((Either((Text("a"), Text("b"))), Text("c")))),
        ("A OR B", Either((Text("A"), Text("B")))),
        ('"or"', Text("or")),
        ("steps:4..8", Compare("steps", ":", "4", "8")),
        ("model:a..b", Compare("model", ":", "a..b")),
        ("lora=ink", Compare("adapter", "=", "ink")),
        ("STEPS<3", Compare("steps", "<", "3")),
        (r'"a \"b\" \\ c"', Text(r'a "b" \ c')),
        ("-(a b)", Not(All((Text("a"), Text("b"))))),
        ("note:-5", Compare("note", ":", "-5")),
    ],
)
def test_grammar(query: str, tree: Node) -> None:
    assert parse(query) == tree


@pytest.mark.parametrize(
    ("query", "position", "says"),
    [
        ("red modle:klein", 4, r"at character 5 \('modle:klein'\): there is no field 'modle'.*Did you mean 'model'"),
        ("steps>=many", 7, "'many' is no value of steps: a number is needed"),
        ("steps:4..x", 9, "'x' is no value of steps"),
        ("steps>4..8", 5, "a range is written with a colon.*steps:4..8"),
        ("created>soon", 8, "a time is needed: 2026, 2026-11"),
        ("tag>good", 3, "tag cannot be compared with >.*Use : or = or !="),
        ("(red", 0, "this bracket is not closed"),
        ("red)", 3, "this bracket closes none"),
        ('red "circle', 4, "this quote is not closed"),
        ('""', 0, "nothing between the quotes"),
        ("red or", 6, "at its end: something to look for is missing"),
        ("or red", 0, "something to look for is missing"),
        ("()", 1, "something to look for is missing"),
        ("red - blue", 5, "the minus must stand right before"),
        ("--red", 1, "two minus signs"),
        ("steps>= 8", 7, "the value of steps is missing"),
        ("is:blue", 3, "one of star, note"),
        ("size:big", 5, "a size is needed"),
        ("digest:xyz", 7, "hexadecimal digits"),
        ("seed:nan", 5, "a number is needed"),
        ("score.:1", 0, "there is no field 'score.'"),
        ("a\x00b", 1, "no character that a text can hold"),
        ("(" * 60 + "a" + ")" * 60, 51, "nested deeper"),
        ("a" * 2001, 2000, "at most 2000 characters"),
    ],
)
def test_errors_point_at_the_place(query: str, position: int, says: str) -> None:
    with pytest.raises(QueryError, match=says) as caught:
        parse(query)
    assert caught.value.position == position


def test_every_field_of_a_recipe_can_be_asked_for() -> None:
    for name in Recipe.model_fields:
        if name not in ("adapters", "references", "sigmas", "margins"):
            assert find_field(name).about
    with pytest.raises(KeyError, match="adapter"):
        find_field("adapters")


def test_periods_of_time() -> None:
    field = find_field("created")
    for text, first, days in (
        ("2026", (2026, 1, 1), 365), ("2026-12", (2026, 12, 1), 31), ("2024-02", (2024, 2, 1), 29),
        ("2026-12-31", (2026, 12, 31), 1),
    ):  # fmt: skip
        start, end = read_value(field, text)
        assert (start.tzinfo, end.tzinfo) == (UTC, UTC)
        assert abs((end - start) - timedelta(days=days)) <= timedelta(hours=1)  # a clock may be changed in between
        assert start == datetime(*first).astimezone(UTC)
    start, end = read_value(field, "2d")
    assert start == end
    assert timedelta(days=2) <= datetime.now(UTC) - start < timedelta(days=2, hours=1)
    for bad in ("2026-13", "26", "9999999d", "tomorrow", "0000"):
        with pytest.raises(ValueError, match="a time is needed"):
            read_value(field, bad)
