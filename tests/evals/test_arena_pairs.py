"""Who meets whom: every pair equally often, sides in balance, reproducible, and no equal pictures."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from evals.arena.pairs import Comparison, comparisons, schedule


def full(items: int, contenders: int) -> list[list[str]]:
    return [[f"{item}-{contender}" for contender in range(contenders)] for item in range(items)]


@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 9), st.data())
def test_every_pair_of_contenders_meets_equally_often(k: int, items: int, seed: int, data: st.DataObject) -> None:
    everything = items * k * (k - 1) // 2
    limit = data.draw(st.integers(1, everything))
    asked = comparisons(full(items, k), k, seed=seed, limit=limit)
    assert len(asked) == len(set(asked)) == limit
    counts = Counter((each.first, each.second) for each in asked)
    met = [counts[pair] for pair in combinations(range(k), 2)]
    assert max(met) - min(met) <= 1
    assert asked == comparisons(full(items, k), k, seed=seed, limit=everything)[:limit]


@given(st.integers(2, 5), st.integers(1, 12), st.integers(0, 5), st.sampled_from(["ada", "bo", "cy"]))
def test_both_sides_of_every_pair_are_shown_equally_often(k: int, items: int, seed: int, rater: str) -> None:
    asked = comparisons(full(items, k), k, seed=seed)
    shown = schedule(asked, seed=seed, rater=rater)
    assert sorted(pair.comparison for pair in shown) == sorted(asked)
    assert [pair.number for pair in shown] == list(range(len(shown)))
    sides = Counter((pair.left, pair.right) for pair in shown)
    for first, second in combinations(range(k), 2):
        assert abs(sides[first, second] - sides[second, first]) <= 1
    rounds = k * (k - 1) // 2
    for place in range(0, len(shown) - rounds + 1, rounds):  # who stops early has seen all pairs equally often
        assert len({frozenset((p.left, p.right)) for p in shown[place : place + rounds]}) == rounds


def test_raters_get_the_same_questions_in_another_order_and_on_other_sides() -> None:
    asked = comparisons(full(40, 2), 2, seed=3)
    ada, bo = (schedule(asked, seed=3, rater=name) for name in ("ada", "bo"))
    assert ada == schedule(asked, seed=3, rater="ada")
    assert {pair.comparison for pair in ada} == {pair.comparison for pair in bo}
    assert [pair.item for pair in ada] != [pair.item for pair in bo]
    left = {pair.comparison: pair.left for pair in ada}
    differ = sum(left[pair.comparison] != pair.left for pair in bo)
    assert 8 <= differ <= 32  # 40 coins: outside with a chance below 1 in 10,000


def test_sides_cannot_be_guessed_from_the_last_pair() -> None:
    """Sides come in shuffled twos, so "the other side now" is right for one half of the pairs and a coin for the other."""
    shown = schedule(comparisons(full(400, 2), 2), seed=0, rater="ada")
    changes = sum(a.left != b.left for a, b in pairwise(shown))
    assert 0.6 * 400 < changes < 0.9 * 400


def test_items_are_spread_over_the_pairs() -> None:
    asked = comparisons(full(12, 4), 4, seed=1, limit=12)
    assert len({each.item for each in asked}) == 12  # nobody sees one prompt twice before having seen all


def test_equal_and_missing_pictures_are_not_asked() -> None:
    pictures: list[list[object | None]] = [["a", "b", "c"], ["x", "x", "y"], ["p", None, "q"]]
    asked = comparisons(pictures, 3)
    assert set(asked) == {
        Comparison(0, 0, 1), Comparison(0, 0, 2), Comparison(0, 1, 2),
        Comparison(1, 0, 2), Comparison(1, 1, 2), Comparison(2, 0, 2),
    }  # fmt: skip


def test_repeats_come_at_the_end_with_sides_swapped() -> None:
    shown = schedule(comparisons(full(10, 2), 2), seed=0, rater="ada", repeats=4)
    assert len(shown) == 14
    first = {pair.comparison: pair for pair in shown if not pair.repeat}
    again = [pair for pair in shown if pair.repeat]
    assert shown[10:] == tuple(again)
    assert len({pair.comparison for pair in again}) == 4
    assert all(first[pair.comparison].left == pair.right for pair in again)
