from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workbench.prompts import DynamicPromptError, Wildcards, count, expand
from workbench.prompts.grammar import Choice, Option, Prompt, Text, Wildcard, escape, parse


@pytest.fixture
def wildcards(tmp_path: Path) -> Wildcards:
    (tmp_path / "clothes").mkdir()
    (tmp_path / "colour.txt").write_text("# of the rainbow\nred\n3::green\n\nblue\n", encoding="utf-8")
    (tmp_path / "clothes" / "hats.txt").write_text("cap\n{old|new} beret\n", encoding="utf-8")
    (tmp_path / "more.yaml").write_text("clothes:\n  shoes: [boots, 2::__colour__ sandals]\nsize: big\n")
    (tmp_path / "list.yml").write_text("- one\n- two\n")
    return Wildcards(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", ["plain"]),
        ("", [""]),
        ("{a|b}", ["a", "b"]),
        ("a {red|blue} {circle|star}", ["a red circle", "a red star", "a blue circle", "a blue star"]),
        ("{a|{b|c} d}", ["a", "b d", "c d"]),
        ("{|x}", ["", "x"]),
        ("{2::a|b}", ["a", "b"]),
        ("{0::a|b}", ["b"]),
        ("{.5::a|1.5::b}", ["a", "b"]),
        ("{2$$a|b|c}", ["a, b", "a, c", "b, c"]),
        ("{2$$ and $$a|b|c}", ["a and b", "a and c", "b and c"]),
        ("{1-2$$a|b}", ["a", "b", "a, b"]),
        ("{-2$$a|b}", ["a", "b", "a, b"]),
        ("{0-1$$a}", ["", "a"]),
        ("{2-$$+$$a|b|c}", ["a+b", "a+c", "b+c", "a+b+c"]),
        ("{2$$a|{b|c}}", ["a, b", "a, c"]),
        (r"\{a\|b\} costs 5\$ and __ x", ["{a|b} costs 5$ and __ x"]),
        ("a|b", ["a|b"]),
        ("C:\\temp and 5$ a_b__c", ["C:\\temp and 5$ a_b__c"]),
        ("{a:b::c|d}", ["a:b::c", "d"]),
        ("{1$$$$a|b}", ["a", "b"]),
    ],
)
def test_all_combinations(text: str, expected: list[str]) -> None:
    assert expand(text) == expected
    assert count(text) == len(expected)


def test_wildcards_of_text_and_yaml_files(wildcards: Wildcards) -> None:
    assert wildcards.names() == ["clothes/hats", "clothes/shoes", "colour", "list", "size"]
    assert expand("a __colour__ one", wildcards=wildcards) == ["a red one", "a green one", "a blue one"]
    assert expand("__clothes/hats__", wildcards=wildcards) == ["cap", "old beret", "new beret"]
    shoes = ["boots", "red sandals", "green sandals", "blue sandals"]
    assert expand("__clothes/shoes__", wildcards=wildcards) == shoes
    assert expand("__clothes/*__", wildcards=wildcards) == ["cap", "old beret", "new beret", *shoes]
    assert expand("{2$$__list__}", wildcards=wildcards) == ["one, two"]
    assert expand("__size__", wildcards=wildcards) == ["big"]
    assert expand("{__size__|small}", wildcards=wildcards) == ["big", "small"]


def test_a_draw_is_told_by_its_seed_and_place() -> None:
    text = "{a|b|c|d} {1-3$$ $$x|y|z}"
    ten = expand(text, mode="random", number=10, seed=5)
    assert expand(text, mode="random", number=3, seed=5) == ten[:3]
    assert expand(text, mode="random", number=10, seed=6) != ten
    assert set(ten) > {ten[0]}
    # the same on every machine: SHA-256 decides
    assert ten[:4] == ["b z", "a z x", "d x z y", "d y z x"]


def test_weights_are_shares_of_the_draws(wildcards: Wildcards) -> None:
    drawn = Counter(expand("{3::a|b|0::c}", mode="random", number=1000, seed=1))
    assert drawn.keys() == {"a", "b"}
    assert 700 < drawn["a"] < 800  # 750 expected, standard deviation 14
    drawn = Counter(expand("__colour__", mode="random", number=1000, seed=1, wildcards=wildcards))
    assert 550 < drawn["green"] < 650  # 3 of 5


def test_several_are_drawn_without_putting_back() -> None:
    for prompt in expand("{3$$,$$a|b|c|d}", mode="random", number=200, seed=2):
        assert len(set(prompt.split(","))) == 3
    orders = Counter(expand("{2$$,$$a|b}", mode="random", number=200, seed=2))
    assert orders.keys() == {"a,b", "b,a"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a {b", r"a '\{' without its '\}' at character 3, near 'a \{b'"),
        ("a } b", r"a '\}' without its '\{' at character 3"),
        ("{a|{b}", "without its"),
        ("{3$$a|b}", "asks for 3 of 2 options"),
        ("{3-2$$a|b}", "from 3 down to 2"),
        ("{0::a|0::b}", "weights are all 0"),
        ("${x={a|b}}", "variable"),
        ("{prompt}, oil", "was not filled"),
        ("{" * 50, "more than 40 choices"),
        ("a" * 100_001, "more than 100000"),
        ("__nothing__", "no wildcard 'nothing'"),
        ("{3000$$" + "a|" * 3000 + "a}", "is too large"),
    ],
)
@pytest.mark.parametrize("mode", ["all", "random"])
def test_mistakes_are_shown_with_their_place(text: str, why: str, mode: str) -> None:
    with pytest.raises(DynamicPromptError, match=why):
        expand(text, mode=mode)  # type: ignore[arg-type]


def test_too_many_are_refused_with_their_count() -> None:
    with pytest.raises(DynamicPromptError, match="stands for 1,048,576 prompts, more than the limit of 1000"):
        expand("{a|b}" * 20)
    assert len(expand("{a|b}" * 11, limit=2048)) == 2048
    with pytest.raises(DynamicPromptError, match=r"about 10\^1505"):
        expand("{a|b}" * 5000)
    with pytest.raises(DynamicPromptError, match="Cannot draw 1001"):
        expand("{a|b}", mode="random", number=1001)
    with pytest.raises(DynamicPromptError, match="number of their own"):
        expand("{a|b}", number=2)


def test_wildcards_that_lead_back_to_themselves_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n__b__\n")
    (tmp_path / "b.txt").write_text("{y|__a__}\n")
    for mode in ("all", "random"):
        with pytest.raises(DynamicPromptError, match="a → b → a"):
            expand("__a__", mode=mode, wildcards=Wildcards(tmp_path))


def test_wildcard_files_that_cannot_be_used(tmp_path: Path, wildcards: Wildcards) -> None:
    with pytest.raises(DynamicPromptError, match="Did you mean 'colour'"):
        expand("__color__", wildcards=wildcards)
    with pytest.raises(DynamicPromptError, match=r"no wildcard '\.\./secret'"):
        expand("__../secret__", wildcards=wildcards)
    bad = tmp_path / "bad"
    bad.mkdir()
    for name, text, why in (
        ("empty.txt", b"# nothing\n", "has no lines"),
        ("latin.txt", b"caf\xe9\n", "UTF-8"),
        ("huge.txt", b"a" * (4 * 2**20 + 1), "larger than"),
        ("brace.txt", b"{a\n", "without its"),
    ):
        (bad / name).write_bytes(text)
        with pytest.raises(DynamicPromptError, match=why):
            expand(f"__{name.removesuffix('.txt')}__", wildcards=Wildcards(bad))
    (bad / "wrong.yaml").write_text("a: {b: [1, {c: d}]}\n")
    with pytest.raises(DynamicPromptError, match="no list of texts"):
        Wildcards(bad).names()
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 9))
    (bad / "wrong.yaml").write_text("l0: &l0 {k: [v]}\n" + levels)  # a billion laughs
    with pytest.raises(DynamicPromptError, match=r"no list of texts|entries"):
        Wildcards(bad).names()


WORDS = st.text("abc xyzäß_$:#|{}\\", max_size=8)


@given(st.text(max_size=60))
def test_escaped_text_is_plain(text: str) -> None:
    assert expand(escape(text)) == [text]


@given(st.text("ab{}|$_:2-\\ 1,", max_size=30), st.integers())
def test_any_text_is_expanded_or_refused(text: str, seed: int) -> None:
    try:
        found = expand(text, limit=200)
    except DynamicPromptError:
        assume(False)
    assert len(found) == count(text)
    assert set(expand(text, mode="random", number=3, seed=seed)) <= set(found) | _permuted(text)


def _permuted(text: str) -> set[str]:
    """What a draw may give beyond the combinations: several options in another order."""
    return set(expand(text, mode="random", number=200, seed=0)) if "$$" in text else set()


OPTIONS = st.deferred(lambda: st.builds(Option, PROMPTS, st.sampled_from([1.0, 2.0])))
PARTS = st.deferred(
    lambda: (
        st.builds(Text, st.text("ab {}|$\\", min_size=1, max_size=4))
        | st.builds(Wildcard, st.just("name"))
        | st.builds(lambda options: Choice(tuple(options)), st.lists(OPTIONS, min_size=1, max_size=3))
    )
)
PROMPTS: st.SearchStrategy[Prompt] = st.builds(lambda parts: Prompt(tuple(parts)), st.lists(PARTS, max_size=3))


def _written(prompt: Prompt) -> str:
    parts = []
    for part in prompt.parts:
        match part:
            case Text():
                parts.append(escape(part.words))
            case Wildcard():
                parts.append(f"__{part.name}__")
            case Choice():
                parts.append("{" + "|".join(f"{one.weight:g}::{_written(one.prompt)}" for one in part.options) + "}")
    return "".join(parts)


@given(PROMPTS)
def test_what_is_written_is_what_is_read(prompt: Prompt) -> None:
    neighbours = pairwise(prompt.parts)
    assume(not any(isinstance(one, Text) and isinstance(two, Text) for one, two in neighbours))
    assume("Text" not in str([_neighbours(part) for part in prompt.parts]))
    assert parse(_written(prompt)) == prompt


def _neighbours(part: object) -> list[str]:
    """'Text' for every two texts side by side, at any depth: they are read as one."""
    if not isinstance(part, Choice):
        return []
    found: list[str] = []
    for option in part.options:
        parts = option.prompt.parts
        found += ["Text" for one, two in pairwise(parts) if isinstance(one, Text) and isinstance(two, Text)]
        for inner in parts:
            found += _neighbours(inner)
    return found
