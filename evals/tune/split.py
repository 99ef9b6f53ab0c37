"""Which prompts the search may see, in which order, and which it may not."""

from __future__ import annotations

from random import Random

from evals.suite import Prompt, Suite
from evals.tune.space import Prompts, TuneError


def split(suite: Suite, held_out: float, seed: int) -> tuple[Suite, Suite]:
    """Two disjoint suites: for the search, and for the comparison at the end.

    Prompts of one cluster stay together, every kind is split by the same share, and the order is shuffled with the kinds
    in turn, so that the first prompts of the search are a fair sample.

    Args:
        suite: all prompts.
        held_out: share of the second suite, above 0 and below 1.
        seed: of the shuffle.

    Raises:
        TuneError: there are too few prompts for two suites.
    """
    random = Random(seed)  # noqa: S311  # a shuffle is no cryptography
    kinds: dict[str, dict[str, list[Prompt]]] = {}
    for prompt in suite.prompts:
        kinds.setdefault(prompt.kind, {}).setdefault(prompt.group, []).append(prompt)
    sides: tuple[list[list[Prompt]], list[list[Prompt]]] = ([], [])  # queues of search and held out, one for each kind
    taken: dict[str, int] = {}  # a cluster may have prompts of several kinds
    owed = 0.0
    for groups in kinds.values():
        names = list(groups)
        random.shuffle(names)
        queues: tuple[list[Prompt], list[Prompt]] = ([], [])
        for name in names:
            if name not in taken:
                owed += held_out
                taken[name] = int(owed >= 0.5)
                owed -= taken[name]
            queues[taken[name]].extend(groups[name])
        for side, queue in zip(sides, queues, strict=True):
            side.append(queue)
    first, second = (_in_turn(side) for side in sides)
    if not first or not second:
        raise TuneError(f"{len(suite.prompts)} prompts are too few to hold some out.", "Use a larger suite or limit.")
    return suite.model_copy(update={"prompts": first}), suite.model_copy(update={"prompts": second})


def rungs(prompts: Prompts, count: int) -> tuple[int, ...]:
    """How many prompts a trial has seen at each decision: `first`, `first * factor`, ..., all `count`."""
    found, size = [], prompts.first
    while size < count:
        found.append(size)
        size *= prompts.factor
    return (*found, count)


def head(suite: Suite, count: int) -> Suite:
    """The first `count` prompts."""
    return suite.model_copy(update={"prompts": suite.prompts[:count]})


def _in_turn(queues: list[list[Prompt]]) -> tuple[Prompt, ...]:
    longest = max((len(queue) for queue in queues), default=0)
    return tuple(queue[place] for place in range(longest) for queue in queues if place < len(queue))
