"""From the tree of a query to a condition on rows of the gallery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    column,
    exists,
    false,
    not_,
    or_,
    select,
    table,
    true,
    union_all,
)  # fmt: skip

from workbench.store.fields import Field, find_field, read_value
from workbench.store.gallery_tables import (
    AdapterRow,
    BoardPictureRow,
    BoardRow,
    GalleryRow,
    ScoreRow,
    SourceRow,
    TagRow,
)  # fmt: skip
from workbench.store.query import All, Compare, Either, Node, Not, Text
from workbench.store.tables import PictureRow

TEXTS = ("prompt", "note_words")  # where a text alone is looked for
SHORTEST = 3  # characters of a text that the index of words can find
BIGGEST = 2**63 - 1  # of a whole number in the database
_WORDS = table("gallery_words", column("rowid"), column("gallery_words"))
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ":": lambda left, right: left == right,
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


@dataclass(frozen=True, slots=True)
class Where:
    """Makes conditions.

    Attributes:
        indexed: whether the database has the index of words.
    """

    indexed: bool

    def condition(self, node: Node, *, alone: bool = True) -> ColumnElement[bool]:
        """What must hold of a row of `gallery` for a query.

        Args:
            node: the query's tree.
            alone: whether nothing else narrows the search; beside others, scores are looked up row by row.
        """
        if self.indexed and (words := _match(node)):
            return _in_words(words)
        match node:
            case Text():
                return _contains(TEXTS, node.text.casefold())
            case Not():
                return not_(self.condition(node.part, alone=alone))
            case All():
                return self._all(node)
            case Either():
                return or_(false(), *(self.condition(part) for part in node.parts))
            case Compare():
                return self._compare(node, alone=alone)

    def _all(self, node: All) -> ColumnElement[bool]:
        """All parts; those about words are asked of the index in one question, which is much quicker."""
        rest, conditions = list(node.parts), []
        if self.indexed:
            words = [part for part in rest if _match(part)]
            unwanted = [part.part for part in rest if isinstance(part, Not) and _match(part.part)]
            rest = [part for part in rest if not _match(part) and not (isinstance(part, Not) and _match(part.part))]
            if words:
                conditions.append(_in_words(" AND ".join(f"({_match(part)})" for part in words)))
            if unwanted:
                conditions.append(not_(_in_words(" OR ".join(f"({_match(part)})" for part in unwanted))))
        alone = len(node.parts) == 1
        return and_(true(), *conditions, *(self.condition(part, alone=alone) for part in rest))

    def _compare(self, node: Compare, *, alone: bool) -> ColumnElement[bool]:
        field = find_field(node.field)
        value = read_value(field, node.value)
        high = None if node.high is None else read_value(field, node.high)
        if field.name in _RULES:
            return _RULES[field.name](node.operator, value)
        start, dot, rest = field.name.partition(".")
        if dot:
            test = _Test(node.operator, value, high)
            return _score(rest, test, alone=alone) if start == "score" else _DOTTED[start](rest, test)
        if field.kind == "words":
            return _contains((field.column,), value)
        if not field.column:
            return _in_recipe(field, node.operator, value, high)
        return _on_column(getattr(GalleryRow, field.column), field, _Test(node.operator, value, high))


def _match(node: Node) -> str:
    """A question to the index of words that says the same as `node`; empty when it cannot."""
    match node:
        case Text():
            return _phrase(TEXTS, node.text.casefold())
        case Compare() if find_field(node.field).kind == "words":
            field = find_field(node.field)
            return _phrase((field.column,), read_value(field, node.value))
        case All() | Either():
            parts = [_match(part) for part in node.parts]
            joined = " AND " if isinstance(node, All) else " OR "
            return joined.join(f"({part})" for part in parts) if all(parts) else ""
        case _:
            return ""


def _phrase(columns: tuple[str, ...], folded: str) -> str:
    """A text as the index of words takes it; empty for one that is too short to be in it."""
    quoted = folded.replace('"', '""')
    return f'{{{" ".join(columns)}}} : "{quoted}"' if len(folded) >= SHORTEST else ""


def _in_words(asked: str) -> ColumnElement[bool]:
    return GalleryRow.id.in_(select(_WORDS.c.rowid).where(_WORDS.c.gallery_words.op("MATCH")(asked)))


def _contains(columns: tuple[str, ...], folded: str) -> ColumnElement[bool]:
    return or_(*(getattr(GalleryRow, name).contains(folded, autoescape=True) for name in columns))


@dataclass(frozen=True, slots=True)
class _Test:
    """A comparison without its left side."""

    operator: str
    value: Any
    high: Any = None

    def __call__(self, left: Any) -> ColumnElement[bool]:
        if self.high is not None:
            return and_(left >= _bound(self.value), left <= _bound(self.high))
        if (
            isinstance(self.value, int) and abs(self.value) > BIGGEST
        ):  # no row holds such a number, and none can be sent
            holds = _COMPARE[self.operator](0, 1 if self.value > 0 else -1)
            return left.is_not(None) if holds else false()
        return and_(left.is_not(None), _COMPARE[self.operator](left, self.value))


def _bound(value: Any) -> Any:
    return max(-BIGGEST, min(BIGGEST, value)) if isinstance(value, int) else value


def _on_column(left: Any, field: Field, test: _Test) -> ColumnElement[bool]:
    match field.kind:
        case "text":
            return _text(left, test.operator, test.value)
        case "digest":
            return _starts(left, test.value)
        case "moment":
            return _moment(left, test)
        case _:
            return test(left)


def _text(left: Any, operator: str, text: str) -> ColumnElement[bool]:
    """Whatever the case; SQLite knows that of ASCII letters only, so others must be typed as they are."""
    pattern = _escaped(text)
    alike = and_(left.is_not(None), left.ilike(f"%{pattern}%" if operator == ":" else pattern, escape="/"))
    return not_(alike) if operator == "!=" else alike


def _starts(left: Any, digits: str) -> ColumnElement[bool]:
    """Whether a digest starts with `digits`, as a range, which an index can answer; g follows all hexadecimal digits."""
    return and_(left.is_not(None), left >= digits, left < f"{digits}g")


def _moment(left: Any, test: _Test) -> ColumnElement[bool]:
    """Periods: `>` is after their end, `<` before their start, `:` inside, a point in time counts from then on."""
    start, end = test.value
    if test.high is not None:
        return and_(left >= start, left < max(test.high[1], test.high[0]))
    inside = left >= start if start == end else and_(left >= start, left < end)
    tests: dict[str, ColumnElement[bool]] = {
        ":": inside, "=": inside, "!=": not_(inside), "<": left < start, "<=": left < end, ">": left >= end,
        ">=": left >= start,
    }  # fmt: skip
    return tests[test.operator]


def _pictures(query: Select[Any], operator: str) -> ColumnElement[bool]:
    found = GalleryRow.id.in_(query)
    return not_(found) if operator == "!=" else found


def _pattern(left: Any, folded: str) -> ColumnElement[bool]:
    """Equal, or alike where `*` stands for any characters."""
    found: ColumnElement[bool] = left == folded
    if "*" in folded:
        found = left.like("%".join(_escaped(part) for part in folded.split("*")), escape="/")
    return found


def _escaped(text: str) -> str:
    """`text` for LIKE, with / before what would stand for other characters."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _tag(operator: str, folded: str) -> ColumnElement[bool]:
    return _pictures(select(TagRow.picture).where(_pattern(TagRow.tag, folded)), operator)


def _board(operator: str, folded: str) -> ColumnElement[bool]:
    boards = select(BoardRow.id).where(_pattern(BoardRow.folded, folded))
    return _pictures(select(BoardPictureRow.picture).where(BoardPictureRow.board.in_(boards)), operator)


def _adapter(operator: str, folded: str) -> ColumnElement[bool]:
    if operator == ":":
        named = AdapterRow.folded.contains(folded, autoescape=True)
        if len(folded) >= 8 and all(digit in "0123456789abcdef" for digit in folded):
            named = or_(named, _starts(AdapterRow.fingerprint, folded))
        return _pictures(select(AdapterRow.picture).where(named), operator)
    return _pictures(select(AdapterRow.picture).where(AdapterRow.folded == folded), operator)


def _source(operator: str, digits: str) -> ColumnElement[bool]:
    return _pictures(select(SourceRow.picture).where(_starts(SourceRow.content, digits)), operator)


def _size(operator: str, value: tuple[int, int]) -> ColumnElement[bool]:
    same = and_(GalleryRow.width == value[0], GalleryRow.height == value[1])
    return not_(same) if operator == "!=" else same


def _flag(_: str, name: str) -> ColumnElement[bool]:
    if name in _PARTS:
        return GalleryRow.id.in_(select(_PARTS[name].picture))
    flags: dict[str, ColumnElement[bool]] = {
        "star": GalleryRow.starred.is_(True),
        "note": GalleryRow.note != "",
        "trash": GalleryRow.trashed.is_not(None),
    }
    return flags[name]


def _score(name: str, test: _Test, *, alone: bool) -> ColumnElement[bool]:
    scorer, dot, metric = name.partition(".")
    if dot:
        meanings = [and_(ScoreRow.metric == metric, ScoreRow.scorer == scorer)]
    else:  # a metric of any scorer, or the main metric of a scorer, which has the empty name
        meanings = [ScoreRow.metric == name, and_(ScoreRow.metric == "", ScoreRow.scorer == name)]
    if not alone:
        return exists().where(ScoreRow.picture == GalleryRow.id, or_(*meanings), test(ScoreRow.value))
    found = [select(ScoreRow.picture).where(meaning, test(ScoreRow.value)) for meaning in meanings]
    return GalleryRow.id.in_(union_all(*found) if len(found) > 1 else found[0])


def _adapter_weight(name: str, test: _Test) -> ColumnElement[bool]:
    named = AdapterRow.folded == name.casefold()
    return GalleryRow.id.in_(select(AdapterRow.picture).where(named, test(AdapterRow.weight)))


def _environment(name: str, test: _Test) -> ColumnElement[bool]:
    entry = PictureRow.environment[name].as_string()
    return exists().where(PictureRow.digest == GalleryRow.digest, _text(entry, test.operator, test.value))


def _in_recipe(field: Field, operator: str, value: Any, high: Any) -> ColumnElement[bool]:
    """A field that has no column of its own: read from the recipe's JSON."""
    entry = PictureRow.recipe[field.name]
    if field.kind == "number":
        number = case((entry.as_string().is_(None), None), else_=entry.as_float())
        asked = _Test(operator, value, high)(number)
    else:
        asked = _text(entry.as_string(), operator, value)
    return exists().where(PictureRow.digest == GalleryRow.digest, asked)


_PARTS: dict[str, Any] = {
    "tag": TagRow, "board": BoardPictureRow, "score": ScoreRow, "adapter": AdapterRow, "edit": SourceRow,
}  # fmt: skip
_RULES: dict[str, Callable[[str, Any], ColumnElement[bool]]] = {
    "tag": _tag, "board": _board, "adapter": _adapter, "source": _source, "size": _size, "is": _flag,
}  # fmt: skip
_DOTTED: dict[str, Callable[[str, _Test], ColumnElement[bool]]] = {
    "adapter": _adapter_weight, "environment": _environment,
}  # fmt: skip
