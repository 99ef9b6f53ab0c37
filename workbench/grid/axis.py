"""The kinds of axes: what a person writes, one frozen pydantic model a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from workbench.errors import GridError, nearest
from workbench.grid.dynamic import KINDS, unfold
from workbench.grid.labels import in_words, short
from workbench.grid.ranges import MAX_VALUES

PROMPTS = ("prompt", "negative_prompt")
COST = {
    "model": 4, "precision": 3, "adapters": 2,
    "width": 1, "height": 1, "references": 1, "image": 1, "mask": 1, "margins": 1, "control": 1, "redux": 1,
    "regions": 1,
}  # fmt: skip
"""How dear it is to change a field between two pictures; other fields cost 0. Dear axes become the outer loops."""


def _as_tuple(values: object) -> object:
    """Accept what Python and YAML give for a list; refuse a huge one before it is copied."""
    if isinstance(values, str) or values is None:
        return values
    if isinstance(values, Mapping) or not isinstance(values, (Sequence, set, frozenset)):
        return (values,)
    if len(values) > MAX_VALUES:
        raise ValueError(f"it has {len(values):,} values, more than the {MAX_VALUES:,} that an axis takes")
    return tuple(values)


Values = Annotated[str | tuple[Any, ...], BeforeValidator(_as_tuple)]


class _Base(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(default="", description="What stands beside the axis; empty: a title made from what it changes.")
    skip: Annotated[tuple[Any, ...], BeforeValidator(_as_tuple)] = Field(
        default=(), description="Values or labels whose cells are left empty; the hole stays visible."
    )


class FieldAxis(_Base):
    """One recipe field takes one value after the other; `field: model` compares models."""

    field: str = Field(description="Name of a recipe field, for example guidance_scale.")
    values: Values = Field(description="A list, or text such as '1-10 (+2)', '1-10 [5]', '1, 2, ..., 10', 'a || b'.")


class Setting(BaseModel):
    """One named place on a settings axis."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(min_length=1, description="What stands beside the row or column.")
    set: dict[str, Any] = Field(description="Recipe fields and their values.")


class SettingsAxis(_Base):
    """Each value sets several fields at once."""

    settings: tuple[Setting, ...] = Field(description="Labelled settings, each with the fields that it sets.")


class ReplaceAxis(_Base):
    """A text in the prompt and the negative prompt is replaced by one value after the other."""

    replace: str = Field(min_length=1, description="Search text; it must stand in the prompt or the negative prompt.")
    values: Values = Field(description="The texts that take its place, as a list or as 'a, b, c' or 'a || b'.")


class AdapterAxis(_Base):
    """One adapter after the other, on top of those of the base recipe."""

    adapters: Values = Field(
        description="Each a name, {name: ..., weight: ...}, a list of these, or null (or 'none') for no adapter."
    )


class WeightAxis(_Base):
    """The weight of one adapter, or of all adapters of the recipe."""

    weights: Values = Field(description="Weights, -10 to 10, as a list or as text such as '0-1 [5]'.")
    adapter: str | None = Field(default=None, description="The adapter's name; empty: all adapters of the recipe.")


Axis = FieldAxis | SettingsAxis | ReplaceAxis | AdapterAxis | WeightAxis
_KINDS: dict[str, type[Axis]] = {
    "field": FieldAxis,
    "settings": SettingsAxis,
    "replace": ReplaceAxis,
    "adapters": AdapterAxis,
    "weights": WeightAxis,
}


def parse_axis(written: Axis | Mapping[str, Any], number: int) -> Axis:
    """An axis from what a person wrote; the key that names its kind decides.

    Args:
        written: an axis, or a mapping such as `{"field": "steps", "values": "4-28 [4]"}`.
        number: its place in the list, from 1, for the error text.

    Raises:
        GridError: no kind or two, an unknown key, a missing one.
        DynamicPromptError: a dynamic prompt or prompt list that cannot be read.
    """
    if isinstance(written, Axis):
        return written
    if not isinstance(written, Mapping):
        raise GridError(f"Axis {number} is {written!r}, not a mapping.", "Write 'field: steps' and 'values: 4-28 [4]'.")
    written = unfold(written, number)
    kinds = [key for key in _KINDS if key in written]
    if len(kinds) != 1:
        what = f"is of the kinds {' and '.join(kinds)} at once" if kinds else "does not say what it changes"
        raise GridError(f"Axis {number} {what}.", f"Give it exactly one of: {', '.join([*_KINDS, *KINDS])}.")
    try:
        return _KINDS[kinds[0]].model_validate(dict(written))
    except ValidationError as error:
        raise explain(error, f"Axis {number}", _KINDS[kinds[0]]) from None


def default_title(axis: Axis) -> str:
    """The axis's own title, or one made from what it changes."""
    if axis.title:
        return axis.title
    match axis:
        case FieldAxis():
            return in_words(axis.field)
        case SettingsAxis():
            return " + ".join(in_words(name) for name in changed_fields(axis))
        case ReplaceAxis():
            return f"“{axis.replace}” becomes"
        case AdapterAxis():
            return "Adapter"
        case WeightAxis():
            return f"Weight of {short(axis.adapter)}" if axis.adapter else "Adapter weight"


def changed_fields(axis: Axis) -> tuple[str, ...]:
    """The recipe fields that only this axis may change, in the order written."""
    match axis:
        case FieldAxis():
            return (axis.field,)
        case SettingsAxis():
            return tuple(dict.fromkeys(name for setting in axis.settings for name in setting.set))
        case _:
            return ()


def cost(axis: Axis) -> int:
    """How dear a change along this axis is: model > precision > adapters > size > the rest."""
    if isinstance(axis, (AdapterAxis, WeightAxis)):
        return COST["adapters"]
    return max((COST.get(name, 0) for name in changed_fields(axis)), default=0)


def explain(error: ValidationError, where: str, owner: type[BaseModel]) -> GridError:
    """One sentence for the first problem pydantic found."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return GridError(f"{where} has no key {key!r}.", nearest(str(first["loc"][-1]), owner.model_fields))
    name = str(first["loc"][0]) if first["loc"] else ""
    hint = owner.model_fields[name].description if name in owner.model_fields else ""
    if first["type"] == "missing":
        return GridError(f"{where} lacks the key {key!r}.", f"{key}: {hint}")
    message = first["msg"].removeprefix("Value error, ").lower()
    return GridError(f"{where} cannot be used: {key}: {message}.", f"{name}: {hint}" if hint else "")
