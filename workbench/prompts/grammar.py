r"""The grammar of dynamic prompts, and a parser that says where a mistake is.

    prompt    = { text | choice | wildcard }
    choice    = "{" [ amount "$$" [ separator "$$" ] ] option { "|" option } "}"
    amount    = number | number "-" number | number "-" | "-" number
    option    = [ weight "::" ] prompt
    wildcard  = "__" name "__"          name: letters, digits, "-", "_", "/", ".", and "*" for any part
    text      = anything else; "\" before one of { } | $ _ \ : # makes it plain

The syntax is that of the `dynamicprompts` library (Adi Eyal, MIT; last release March 2024), without its variables and
samplers, so that prompts written for other tools read the same here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from workbench.prompts.errors import DynamicPromptError

MAX_LENGTH = 100_000  # characters of one prompt
MAX_DEPTH = 40  # choices inside choices
SPECIAL = "{}|$_\\:#"
_AMOUNT = re.compile(r"\s*(?:(\d{1,6})(?:\s*(-)\s*(\d{1,6})?)?|-\s*(\d{1,6}))\s*\$\$")
_WEIGHT = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s*::")
_WILDCARD = re.compile(r"__([\w*./-]*?[^\W_*./-][\w*./-]*?|\*+)__")


@dataclass(frozen=True, slots=True)
class Text:
    """Words as they are."""

    words: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """One of the lines of a wildcard file."""

    name: str


@dataclass(frozen=True, slots=True)
class Option:
    """One of several, with its weight in the random mode."""

    prompt: Prompt
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Some of several options; `most` None means all of them."""

    options: tuple[Option, ...]
    least: int = 1
    most: int | None = 1
    separator: str = ", "


Part = Text | Wildcard | Choice


@dataclass(frozen=True, slots=True)
class Prompt:
    """Parts one behind the other."""

    parts: tuple[Part, ...]


def parse(text: str) -> Prompt:
    """The structure of a dynamic prompt.

    Raises:
        DynamicPromptError: a brace without its partner, an amount or weight that cannot be, variables, too deep, too long.
    """
    if len(text) > MAX_LENGTH:
        raise DynamicPromptError(
            f"The prompt has {len(text)} characters, more than {MAX_LENGTH}.", "Use a wildcard file."
        )
    parser = _Parser(text)
    prompt = parser.prompt(depth=0)
    if parser.place < len(text):
        raise parser.error("a '}' without its '{'", r"Write \} for a plain one")
    return prompt


def escape(text: str) -> str:
    """`text` so that the grammar reads it as plain words."""
    return re.sub(r"[{}|$_\\:#]", lambda match: "\\" + match[0], text)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0

    def prompt(self, depth: int) -> Prompt:
        """Parts up to the end, or inside a choice up to '|' or '}'."""
        parts: list[Part] = []
        words: list[str] = []
        escaped = -1  # the place behind the last escaped character
        while self.place < len(self.text):
            sign = self.text[self.place]
            if sign == "\\" and self.text[self.place + 1 : self.place + 2] and self.text[self.place + 1] in SPECIAL:
                words.append(self.text[self.place + 1])
                self.place += 2
                escaped = self.place
            elif sign == "}" or (sign == "|" and depth):
                break
            elif sign == "{":
                if words and words[-1] == "$" and escaped != self.place:
                    raise self.error("a variable, which is not supported", "Write the choice where it is used")
                _flush(words, parts)
                parts.append(self.choice(depth + 1))
            elif match := _WILDCARD.match(self.text, self.place):
                _flush(words, parts)
                parts.append(Wildcard(match[1]))
                self.place = match.end()
            else:
                words.append(sign)
                self.place += 1
        _flush(words, parts)
        return Prompt(tuple(parts))

    def choice(self, depth: int) -> Choice:
        """A choice; the parser stands at its '{'."""
        start = self.place
        if depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} choices inside each other", "Use a wildcard file")
        if self.text.startswith("{prompt}", start):
            raise self.error("the {prompt} of a template that was not filled", "Apply the template first")
        self.place += 1
        least, most, separator = self.amount()
        options: list[Option] = []
        while True:
            match = _WEIGHT.match(self.text, self.place)
            weight = float(match[1]) if match else 1.0
            self.place = match.end() if match else self.place
            options.append(Option(self.prompt(depth), weight))
            if self.place >= len(self.text):
                self.place = start
                raise self.error("a '{' without its '}'", r"Write \{ for a plain one")
            self.place += 1
            if self.text[self.place - 1] == "}":
                break
        if not math.fsum(option.weight for option in options) > 0:
            self.place = start
            raise self.error("a choice whose weights are all 0", "Give one option a weight above 0")
        return Choice(tuple(options), least, most, separator)

    def amount(self) -> tuple[int, int | None, str]:
        """How many options, and what stands between them."""
        match = _AMOUNT.match(self.text, self.place)
        if match is None:
            return 1, 1, ", "
        low, dash, high, only_high = match.groups()
        least = int(low) if low else 1
        most = int(only_high or high) if only_high or high else (None if dash else least)
        if most is not None and most < least:
            raise self.error(f"an amount from {least} down to {most}", "Write the smaller number first")
        self.place = match.end()
        # what stands before a second $$ inside this choice is the separator
        end = re.compile(r"\$\$|[{}|]").search(self.text, self.place)
        if end is None or end[0] != "$$":
            return least, most, ", "
        separator = self.text[self.place : end.start()]
        self.place = end.end()
        return least, most, separator

    def error(self, what: str, remedy: str) -> DynamicPromptError:
        """An error that shows the place."""
        around = self.text[max(self.place - 10, 0) : self.place + 20]
        return DynamicPromptError(
            f"The prompt has {what} at character {self.place + 1}, near {around!r}.", f"{remedy}."
        )


def _flush(words: list[str], parts: list[Part]) -> None:
    if words:
        parts.append(Text("".join(words)))
        words.clear()
