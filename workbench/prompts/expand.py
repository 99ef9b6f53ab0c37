"""Dynamic prompts to plain ones: all combinations, or a seeded draw.

The draw uses SHA-256 and no random module, so that a seed gives the same prompts on every machine and Python, and the
third prompt is the third one however many are drawn.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

from workbench.prompts.errors import DynamicPromptError
from workbench.prompts.grammar import Choice, Option, Prompt, Text, Wildcard, parse
from workbench.prompts.wildcards import Wildcards

Mode = Literal["random", "all"]

DEFAULT_LIMIT = 1000  # prompts; more are refused unless asked for
MAX_WORK = 2_000_000  # options times amount, of counting one choice


def expand(
    text: str,
    *,
    mode: Mode = "all",
    number: int | None = None,
    seed: int = 0,
    wildcards: Wildcards | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[str]:
    """The prompts that a dynamic prompt stands for.

    Args:
        text: with `{a|b}`, `{2::a|b}`, `{2$$a|b|c}` and `__wildcard__`; see `workbench.prompts.grammar`.
        mode: `all` combinations, options in the order they are written, the last choice changing fastest; or `random`.
        number: how many to draw in the random mode, default 1; not for `all`.
        seed: of the draw; any whole number.
        wildcards: where `__name__` finds its lines; None: there are none.
        limit: refuse to make more than so many.

    Raises:
        DynamicPromptError: the prompt cannot be read, a wildcard is unknown, or there are too many.
    """
    prompt, walk = parse(text), _Walk(wildcards)
    if mode == "all":
        if number is not None:
            raise DynamicPromptError(
                "All combinations have a number of their own.", "Give a number to the random mode only."
            )
        total = walk.count(prompt)
        if total > limit:
            raise DynamicPromptError(
                f"The prompt stands for {_say(total)} prompts, more than the limit of {limit}.",
                "Raise the limit, take options out, or draw some at random.",
            )
        return list(walk.every(prompt))
    wanted = 1 if number is None else number
    if not 1 <= wanted <= limit:
        raise DynamicPromptError(f"Cannot draw {wanted} prompts.", f"Ask for 1 to {limit}, or raise the limit.")
    walk.count(prompt)  # finds what is wrong with options that the draw may not reach
    return [walk.draw(prompt, _Dice(f"{seed}/{index}")) for index in range(wanted)]


def count(text: str, *, wildcards: Wildcards | None = None) -> int:
    """How many combinations a dynamic prompt stands for, without making them.

    Raises:
        DynamicPromptError: as `expand`.
    """
    return _Walk(wildcards).count(parse(text))


class _Dice:
    """Numbers from a seed, by SHA-256 in counter mode."""

    def __init__(self, seed: str) -> None:
        self._seed, self._drawn = seed, 0

    def share(self) -> float:
        """From 0 to below 1, in 2^53 steps."""
        self._drawn += 1
        digest = hashlib.sha256(f"{self._seed}/{self._drawn}".encode()).digest()
        return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


class _Walk:
    """Counting, enumerating and drawing over one prompt; remembers what wildcards stand for."""

    def __init__(self, wildcards: Wildcards | None) -> None:
        self._wildcards = wildcards or Wildcards(None)
        self._options: dict[str, tuple[Option, ...]] = {}
        self._open: list[str] = []  # wildcards inside which the walk is
        self._counts: dict[str, int] = {}

    def count(self, prompt: Prompt) -> int:
        """How many prompts."""
        total = 1
        for part in prompt.parts:
            total *= self._count_part(part)
        return total

    def _count_part(self, part: Text | Wildcard | Choice) -> int:
        match part:
            case Text():
                return 1
            case Wildcard():
                if part.name not in self._options:
                    self._check_cycle(part.name)
                    self._open.append(part.name)
                    lines = self._lines(part.name)
                    self._counts[part.name] = sum(self.count(line.prompt) for line in lines)
                    self._open.pop()
                    self._options[part.name] = lines
                return self._counts[part.name]
            case Choice():
                options, least, most = self._choice(part)
                if (most + 1) * len(options) > MAX_WORK:
                    raise DynamicPromptError(
                        f"A choice of up to {most} among {len(options)} options is too large.", "Choose fewer."
                    )
                sizes = [self.count(option.prompt) for option in options]
                ways = [1, *[0] * most]  # ways[k]: k of the options so far (elementary symmetric polynomials)
                for size in sizes:
                    for chosen in range(most, 0, -1):
                        ways[chosen] += ways[chosen - 1] * size
                return sum(ways[least : most + 1])

    def every(self, prompt: Prompt) -> Iterator[str]:
        """All prompts, in order."""
        choices = [tuple(self._every_part(part)) for part in prompt.parts]
        for words in itertools.product(*choices):
            yield "".join(words)

    def _every_part(self, part: Text | Wildcard | Choice) -> Iterator[str]:
        match part:
            case Text():
                yield part.words
            case Wildcard():
                for option in self._options[part.name]:
                    yield from self.every(option.prompt)
            case Choice():
                options, least, most = self._choice(part)
                for amount in range(least, most + 1):
                    for chosen in itertools.combinations(options, amount):
                        for words in itertools.product(*(tuple(self.every(option.prompt)) for option in chosen)):
                            yield part.separator.join(words)

    def draw(self, prompt: Prompt, dice: _Dice) -> str:
        """One prompt."""
        return "".join(self._draw_part(part, dice) for part in prompt.parts)

    def _draw_part(self, part: Text | Wildcard | Choice, dice: _Dice) -> str:
        match part:
            case Text():
                return part.words
            case Wildcard():
                lines = self._options[part.name]
                return self.draw(lines[_weighted(lines, dice)].prompt, dice)
            case Choice():
                options, least, most = self._choice(part)
                amount = least + int(dice.share() * (most - least + 1))
                rest, drawn = list(options), []
                for _ in range(amount):  # without putting back
                    place = _weighted(rest, dice)
                    drawn.append(self.draw(rest.pop(place).prompt, dice))
                return part.separator.join(drawn)

    def _choice(self, choice: Choice) -> tuple[Sequence[Option], int, int]:
        """The options that can be taken, and how many of them; those of a wildcard that stands alone are its lines."""
        options: Sequence[Option] = choice.options
        if len(options) == 1 and len(parts := options[0].prompt.parts) == 1 and isinstance(parts[0], Wildcard):
            self._count_part(parts[0])
            options = self._options[parts[0].name]
        options = [option for option in options if option.weight > 0]
        most = len(options) if choice.most is None else choice.most
        if max(choice.least, most) > len(options):
            raise DynamicPromptError(
                f"The prompt asks for {max(choice.least, most)} of {len(options)} options.", "Ask for fewer."
            )
        return options, choice.least, most

    def _lines(self, name: str) -> tuple[Option, ...]:
        lines = self._wildcards.lines(name)
        options = tuple(Option(parse(line), weight) for line, weight in lines if weight > 0)
        if not options:
            raise DynamicPromptError(f"The wildcard {name!r} has no lines.", "Write one option a line.")
        return options

    def _check_cycle(self, name: str) -> None:
        if name in self._open:
            way = " → ".join([*self._open[self._open.index(name) :], name])
            raise DynamicPromptError(f"Wildcards lead back to themselves: {way}.", "Take one of them out.")
        if len(self._open) >= 40:
            raise DynamicPromptError("More than 40 wildcards stand inside each other.", "Use fewer levels.")


def _weighted(options: Sequence[Option], dice: _Dice) -> int:
    """The place of one option, drawn by weight."""
    left = dice.share() * sum(option.weight for option in options)
    for place, option in enumerate(options):
        left -= option.weight
        if left < 0:
            return place
    return len(options) - 1  # rounding


def _say(number: int) -> str:
    """A count for people; enormous ones by their power of ten."""
    return f"{number:,}" if number < 10**15 else f"about 10^{round((number.bit_length() - 1) * 0.30103)}"
