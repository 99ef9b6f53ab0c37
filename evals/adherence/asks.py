"""Reads the objects, relations and background that a suite's row asks for; a row that cannot be read is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import WorkbenchError

Place = Literal["left of", "right of", "above", "below"]


class AskError(WorkbenchError):
    """A suite's row asks for something in a form that its scorer cannot read."""

    code = "WB415"


class Wanted(BaseModel):
    """One clause: `count` objects of a class, perhaps of a colour."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    label: Annotated[str, Field(alias="class", min_length=1)]
    colour: str = ""
    count: Annotated[int, Field(ge=1, le=100)] = 1
    exact_count: bool = False


class Placed(BaseModel):
    """The clause `first` lies on a side of the clause `second`; both are places in the list of objects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Annotated[int, Field(ge=0)]
    relation: Place
    second: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that can be checked by looking for objects."""

    objects: tuple[Wanted, ...]
    relations: tuple[Placed, ...]
    background: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes to look for, each once, in order."""
        return tuple(dict.fromkeys(each.label for each in self.objects))

    @property
    def counting(self) -> bool:
        """Whether an exact number is asked for, which GenEval judges at a higher threshold."""
        return any(each.exact_count for each in self.objects)


def read_ask(ask: Mapping[str, Any]) -> Asked | None:
    """The objects that `ask` names; None where it names none.

    Raises:
        AskError: a clause is malformed or a relation points to no object.
    """
    if not ask.get("objects"):
        return None
    try:
        objects = tuple(Wanted.model_validate(each) for each in ask["objects"])
        relations = tuple(Placed.model_validate(each) for each in ask.get("relations", ()))
    except ValidationError as error:
        first = error.errors()[0]
        raise AskError(
            f"The row's objects cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}.",
            'Write {"class": "dog", "colour": "red", "count": 2, "exact_count": true}.',
        ) from None
    for each in relations:
        if max(each.first, each.second) >= len(objects) or each.first == each.second:
            raise AskError(
                f"A relation joins the objects {each.first} and {each.second} of {len(objects)}.",
                "Count objects from 0 and name two different ones.",
            )
    return Asked(objects, relations, str(ask.get("background", "")))
