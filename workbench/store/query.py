r"""The gallery's query language: text to a tree, and back.

    query      = [ either ]
    either     = all { "or" all }
    all        = part { part }                    parts that stand side by side must all hold
    part       = [ "-" ] ( "(" either ")" | "star" | comparison | text )
    comparison = FIELD ( ":" | "=" | "!=" | "<" | "<=" | ">" | ">=" ) value     no spaces in between
    value      = text [ ".." text ]               with ":" a range of numbers or times, both ends included
    text       = WORD | '"' characters '"'        inside quotes \" is a quote and \\ a backslash

A text alone is looked for in prompt and note, as part of words too and whatever its case. `docs/gallery.md` explains the
fields. `str(tree)` is the query again; parsing it gives an equal tree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.store.errors import QueryError
from workbench.store.fields import Field, find_field, read_value

LONGEST = 2000  # characters of a query
DEEPEST = 50  # nested brackets
_WORD = re.compile(r"""[^\s()"]+""")
_NAME = re.compile(r"([A-Za-z_][\w.@/+-]*?)(!=|<=|>=|:|=|<|>)")
_PLAIN = re.compile(r"""[^\s()"\-:=<>!][^\s()":=<>!]*""")
_BARE = re.compile(r"""[^\s()"]+""")  # a value needs no quotes when it is made of these


@dataclass(frozen=True, slots=True)
class Text:
    """Words looked for in prompt and note."""

    text: str

    def __str__(self) -> str:
        plain = _PLAIN.fullmatch(self.text) and self.text.lower() not in ("or", "star")
        return self.text if plain else _quote(self.text)


@dataclass(frozen=True, slots=True)
class Compare:
    """A field compared with a value, or with a range that ends at `high`."""

    field: str
    operator: str
    value: str
    high: str | None = None

    def __str__(self) -> str:
        if (self.field, self.value) == ("is", "star"):
            return "star"
        value = self.value if _BARE.fullmatch(self.value) and ".." not in self.value else _quote(self.value)
        return f"{self.field}{self.operator}{value}" + (f"..{self.high}" if self.high is not None else "")


@dataclass(frozen=True, slots=True)
class Not:
    """What must not hold."""

    part: Node

    def __str__(self) -> str:
        return f"-({self.part})" if isinstance(self.part, Not | All | Either) else f"-{self.part}"


@dataclass(frozen=True, slots=True)
class All:
    """Parts that must all hold; without any, everything does."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, All | Either) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Either:
    """Parts of which one must hold."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


Node = Text | Compare | Not | All | Either


def parse(query: str) -> Node:
    """The tree of a query; an empty one asks for everything.

    Raises:
        QueryError: with the place and the nearest right word.
    """
    if len(query) > LONGEST:
        raise QueryError(query, LONGEST, f"a query has at most {LONGEST} characters")
    for place, character in enumerate(query):
        if character == "\x00" or "\ud800" <= character <= "\udfff":
            raise QueryError(query, place, "this is no character that a text can hold")
    reader = _Reader(query)
    reader.spaces()
    tree = reader.either(0) if reader.more else All(())
    if reader.more:
        raise QueryError(query, reader.place, "this bracket closes none", "Take it out, or put the text in quotes.")
    return tree


class _Reader:
    """A place in the query that moves on; one method for each rule of the grammar."""

    def __init__(self, query: str) -> None:
        self.query, self.place = query, 0

    @property
    def more(self) -> bool:
        return self.place < len(self.query)

    def spaces(self) -> None:
        while self.more and self.query[self.place].isspace():
            self.place += 1

    def either(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise self.error(f"brackets are nested deeper than {DEEPEST}")
        parts = [self.all(depth)]
        while self.take_or():
            parts.append(self.all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def all(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.more and self.query[self.place] != ")" and not self.at_or():
            parts.append(self.part(depth))
            self.spaces()
        if not parts:
            raise self.error("something to look for is missing here", "Write a word, or a comparison such as steps>=8.")
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def at_or(self) -> bool:
        word = _WORD.match(self.query, self.place)
        return word is not None and word[0].lower() == "or"

    def take_or(self) -> bool:
        found = self.more and self.at_or()
        if found:
            self.place += 2
            self.spaces()
        return found

    def part(self, depth: int) -> Node:
        start = self.query[self.place]
        if start == "-":
            self.place += 1
            if not self.more or self.query[self.place].isspace() or self.query[self.place] == ")":
                raise self.error("the minus must stand right before what is left out")
            if self.query[self.place] == "-":
                raise self.error("two minus signs", "Put a text that starts with a minus in quotes.")
            return Not(self.part(depth))
        if start == "(":
            return self.bracket(depth)
        if start == '"':
            return Text(self.text())
        if name := _NAME.match(self.query, self.place):
            return self.comparison(name)
        word = self.text()
        return Compare("is", ":", "star") if word.lower() == "star" else Text(word)

    def bracket(self, depth: int) -> Node:
        opened = self.place
        self.place += 1
        self.spaces()
        inside = self.either(depth + 1)
        if not self.more:
            raise QueryError(self.query, opened, "this bracket is not closed", "Write ) where it ends.")
        self.place += 1
        return inside

    def comparison(self, name: re.Match[str]) -> Node:
        try:
            field = find_field(name[1].lower() if "." not in name[1] else name[1])
        except KeyError as error:
            remedy = f"{error.args[0]} Or put the text in quotes, to look for it in prompts."
            raise self.error(f"there is no field {name[1]!r}", remedy) from None
        if name[2] not in field.operators:
            self.place = name.start(2)
            raise self.error(f"{field.name} cannot be compared with {name[2]}", f"Use {' or '.join(field.operators)}.")
        self.place = name.end()
        quoted = self.more and self.query[self.place] == '"'
        place, value = self.place, self.value(field)
        low, dots, high = value.partition("..")
        if quoted or not dots or field.kind not in ("number", "moment"):
            self.check(field, value, place)
            return Compare(field.name, name[2], value)
        if name[2] != ":":
            self.place = name.start(2)
            raise self.error("a range is written with a colon", f"Write {field.name}:{value}.")
        self.check(field, low, place)
        self.check(field, high, place + len(low) + 2)
        return Compare(field.name, ":", low, high)

    def value(self, field: Field) -> str:
        if not self.more or self.query[self.place].isspace() or self.query[self.place] in "()":
            raise self.error(f"the value of {field.name} is missing")
        return self.text()

    def check(self, field: Field, value: str, place: int) -> None:
        try:
            read_value(field, value)
        except ValueError as error:
            raise QueryError(self.query, place, f"{value!r} is no value of {field.name}: {error}") from None

    def text(self) -> str:
        if self.query[self.place] != '"':
            word = _WORD.match(self.query, self.place)
            assert word is not None  # by construction: spaces, brackets and quotes are handled before
            self.place = word.end()
            return word[0]
        opened, self.place, found = self.place, self.place + 1, ""
        while self.more and self.query[self.place] != '"':
            self.place += self.query[self.place] == "\\" and self.query[self.place + 1 : self.place + 2] in ('"', "\\")
            found += self.query[self.place]
            self.place += 1
        if not self.more:
            raise QueryError(self.query, opened, "this quote is not closed", 'Write " where the text ends.')
        self.place += 1
        if not found:
            raise QueryError(self.query, opened, "there is nothing between the quotes")
        return found

    def error(self, message: str, remedy: str = "") -> QueryError:
        return QueryError(self.query, self.place, message, remedy)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
