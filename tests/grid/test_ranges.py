from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import GridError
from workbench.grid.ranges import MAX_VALUES, parse_numbers, parse_prompts, parse_texts


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("7", (7,)),
        ("4, 8, 28", (4, 8, 28)),
        ("1-5", (1, 2, 3, 4, 5)),
        ("5-1", (5, 4, 3, 2, 1)),
        ("1-10 (+2)", (1, 3, 5, 7, 9)),
        ("10-1 (-3)", (10, 7, 4, 1)),
        ("1-9 [5]", (1, 3, 5, 7, 9)),
        ("1-10 [4]", (1, 4, 7, 10)),
        ("1, 2, ..., 10", tuple(range(1, 11))),
        ("10, 20, …, 50, 100", (10, 20, 30, 40, 50, 100)),
        ("3, .., 1", (3, 2, 1)),
        ("1-3, 7, 10-30 (+10)", (1, 2, 3, 7, 10, 20, 30)),
        ("-2 - 2 (+2)", (-2, 0, 2)),
    ],
)
def test_whole_numbers(text: str, values: tuple[int, ...]) -> None:
    assert parse_numbers(text, int) == values
    assert all(type(value) is int for value in parse_numbers(text, int))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0-1 (+0.1)", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        ("0-1 [3]", (0.0, 0.5, 1.0)),
        ("-1--0.5 (+.25)", (-1.0, -0.75, -0.5)),
        ("0.1, 0.2, ..., 0.5", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("1e-3", (0.001,)),
    ],
)
def test_numbers_are_the_floats_a_person_would_type(text: str, values: tuple[float, ...]) -> None:
    assert parse_numbers(text, float) == values


@pytest.mark.parametrize(
    "text",
    [
        "", "1,,2", "a", "1-", "1-10 (+0)", "1-10 (-1)", "1-10 [1]", "1-3 [9]", "1.5", "..., 3", "1, ...",
        "1, ..., ..., 3", "1, 3, ..., 10", "5, 5, ..., 9", "1-1000000 (+1)", "1-2 [999999999]", "nan", "inf",
    ],
)  # fmt: skip
def test_what_is_no_list_of_whole_numbers_is_refused(text: str) -> None:
    with pytest.raises(GridError):
        parse_numbers(text, int)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(1, 50))
def test_a_step_range_is_pythons_range_with_its_end(first: int, last: int, step: int) -> None:
    signed = step if last >= first else -step
    values = parse_numbers(f"{first} - {last} ({signed:+d})", int)
    assert list(values) == list(range(first, last + (1 if last >= first else -1), signed))


@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(2, 40))
def test_a_count_range_has_its_count_and_both_ends_and_even_gaps(first: int, last: int, count: int) -> None:
    values = parse_numbers(f"{first}-{last} [{count}]", float)
    assert len(values) == count
    assert (values[0], values[-1]) == (first, last)
    gap = (last - first) / (count - 1)
    assert all(math.isclose(b - a, gap, abs_tol=1e-9) for a, b in itertools.pairwise(values))


def test_the_largest_range_is_allowed_and_one_more_is_not() -> None:
    assert len(parse_numbers(f"1-{MAX_VALUES}", int)) == MAX_VALUES
    with pytest.raises(GridError, match="more than an axis takes"):
        parse_numbers(f"1-{MAX_VALUES + 1}", int)


def test_texts_split_at_commas_bars_or_lines() -> None:
    assert parse_texts('red, "light, green", blue') == ("red", "light, green", "blue")
    assert parse_texts("a cat, small || a dog") == ("a cat, small", "a dog")
    assert parse_texts("one\ntwo, three\n") == ("one", "two, three")
    with pytest.raises(GridError, match="empty place"):
        parse_texts("a, , b")


def test_a_comma_belongs_to_a_prompt() -> None:
    assert parse_prompts("a cat, small") == ("a cat, small",)
    assert parse_prompts("a cat, small || a dog") == ("a cat, small", "a dog")
