"""Who meets whom, in which order, on which side: balanced, seeded, and unknown to the rater.

`comparisons` chooses what is asked; every rater is asked the same, so that raters can be compared. `schedule` gives a
rater an order and sides of their own. Both work in rounds, in each of which every pair of contenders meets once, so that
a rater who stops early has still seen all pairs (nearly) equally often.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from random import Random


@dataclass(frozen=True, slots=True, order=True)
class Comparison:
    """Two contenders on one item, in no order. Numbers are places in the contest."""

    item: int
    first: int  # the lower number of the two contenders
    second: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A comparison as one rater sees it."""

    number: int  # place in the rater's order, from 0
    item: int
    left: int
    right: int
    repeat: bool = False  # seen before by the same rater, with the sides swapped

    @property
    def comparison(self) -> Comparison:
        """What is compared, whatever the sides."""
        return Comparison(self.item, min(self.left, self.right), max(self.left, self.right))


def comparisons(
    pictures: Sequence[Sequence[object | None]], contenders: int, *, seed: int = 0, limit: int | None = None
) -> tuple[Comparison, ...]:
    """Choose comparisons so that every pair of contenders meets equally often, on items that are spread evenly.

    Pairs whose two pictures are equal, or of which one is missing, are never chosen.

    Args:
        pictures: for each item one key per contender; equal keys are equal pictures, None is a missing one.
        contenders: how many there are.
        seed: of the choice.
        limit: how many at most; the counts of the pairs of contenders then differ by one at most, as long as the
            pictures suffice.

    Returns:
        All comparisons, or `limit` of them, round by round.
    """
    random = _random("comparisons", seed)
    order = list(range(len(pictures)))
    random.shuffle(order)
    pairs = list(combinations(range(contenders), 2))
    queues = []
    for number, (first, second) in enumerate(pairs):
        start = number * len(order) // len(pairs)  # so that the pairs of one round meet on different items
        turned = order[start:] + order[:start]
        queues.append(
            [
                Comparison(item, first, second)
                for item in turned
                if _differ(pictures[item][first], pictures[item][second])
            ]
        )
    return tuple(_rounds(queues, random))[:limit]


def schedule(asked: Sequence[Comparison], *, seed: int, rater: str, repeats: int = 0) -> tuple[Pair, ...]:
    """One rater's order and sides.

    Every pair of contenders is shown equally often in both orders (the counts differ by one at most); the sides come in
    shuffled twos, so that nobody can count along.

    Args:
        asked: from `comparisons`.
        seed: of the contest.
        rater: other raters get another order and other sides.
        repeats: how many are shown again at the end, sides swapped; at most as many as are asked.
    """
    random = _random("schedule", seed, rater)
    by_pair: defaultdict[tuple[int, int], list[Comparison]] = defaultdict(list)
    for each in asked:
        by_pair[each.first, each.second].append(each)
    sides: dict[Comparison, bool] = {}
    for group in by_pair.values():
        random.shuffle(group)
        for place in range(0, len(group), 2):
            swap = random.random() < 0.5
            sides |= {each: swap ^ bool(odd) for odd, each in enumerate(group[place : place + 2])}
    order = list(_rounds(list(by_pair.values()), random))
    again = random.sample(order, min(repeats, len(order)))
    shown = [(each, sides[each], False) for each in order] + [(each, not sides[each], True) for each in again]
    return tuple(
        Pair(number, each.item, *((each.second, each.first) if swapped else (each.first, each.second)), repeat)
        for number, (each, swapped, repeat) in enumerate(shown)
    )


def _rounds(queues: list[list[Comparison]], random: Random) -> Iterator[Comparison]:
    """One of each queue in turn, shuffled within the round; neighbours show different items where that is possible."""
    last = -1
    for row in zip_longest(*queues):
        present = [each for each in row if each is not None]
        random.shuffle(present)
        if len(present) > 1 and present[0].item == last:
            present.append(present.pop(0))
        yield from present
        last = present[-1].item


def _differ(first: object | None, second: object | None) -> bool:
    return first is not None and second is not None and first != second


def _random(*parts: object) -> Random:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))  # noqa: S311  # a shuffle is no cryptography
