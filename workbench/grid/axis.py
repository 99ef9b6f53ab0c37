"""The kinds of axes, and the values they stand for.

An axis is what a person writes (a frozen pydantic model, one class a kind); `values_of` turns it into labelled
`Value`s, each with one `Edit` of a recipe. Every value passes through the recipe's own field checks here, long before
anything runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from workbench.conditions import Reference
from workbench.errors import GridError, RecipeError, nearest
from workbench.grid.ranges import MAX_VALUES, parse_numbers, parse_prompts, parse_texts
from workbench.recipe import Adapter, Recipe

PROMPTS = ("prompt", "negative_prompt")
PICTURES = ("references", "image", "mask")
COST = {
    "model": 4, "precision": 3, "adapters": 2,
    "width": 1, "height": 1, "references": 1, "image": 1, "mask": 1, "margins": 1,
}  # fmt: skip
"""How dear it is to change a field between two pictures; other fields cost 0. Dear axes become the outer loops."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What one value does to a recipe."""

    fields: Mapping[str, Any] = field(default_factory=dict)  # recipe fields and their new, checked values
    adapters: tuple[Adapter, ...] | None = None  # added to the recipe's own
    weight: tuple[str | None, float] | None = None  # (adapter name or None for all, weight)
    replacement: tuple[str, str] | None = None  # (search text, new text)


@dataclass(frozen=True, slots=True)
class Value:
    """One place on an axis."""

    label: str
    edit: Edit
    raw: Any  # as written: a number, a text, None, or the name of a setting
    skipped: bool = False


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
    """
    if isinstance(written, Axis):
        return written
    if not isinstance(written, Mapping):
        raise GridError(f"Axis {number} is {written!r}, not a mapping.", "Write 'field: steps' and 'values: 4-28 [4]'.")
    kinds = [key for key in _KINDS if key in written]
    if len(kinds) != 1:
        what = f"is of the kinds {' and '.join(kinds)} at once" if kinds else "does not say what it changes"
        raise GridError(f"Axis {number} {what}.", f"Give it exactly one of: {', '.join(_KINDS)}.")
    try:
        return _KINDS[kinds[0]].model_validate(dict(written))
    except ValidationError as error:
        raise _explain(error, f"Axis {number}", _KINDS[kinds[0]]) from None


def length(axis: Axis) -> int:
    """How many values `axis` has, without checking them: quick for any size.

    Raises:
        GridError: text that is no list or range.
    """
    title = default_title(axis)
    match axis:
        case FieldAxis():
            _known(axis.field, title)
            return len(_spelled(axis.values, _parser(axis.field), title))
        case SettingsAxis():
            return len(axis.settings)
        case ReplaceAxis():
            return len(_spelled(axis.values, parse_texts, title))
        case AdapterAxis():
            return len(_spelled(axis.adapters, parse_texts, title))
        case WeightAxis():
            return len(_spelled(axis.weights, _parse_weights, title))


def default_title(axis: Axis) -> str:
    """The axis's own title, or one made from what it changes."""
    if axis.title:
        return axis.title
    match axis:
        case FieldAxis():
            return _words(axis.field)
        case SettingsAxis():
            return " + ".join(_words(name) for name in changed_fields(axis))
        case ReplaceAxis():
            return f"“{axis.replace}” becomes"
        case AdapterAxis():
            return "Adapter"
        case WeightAxis():
            return f"Weight of {_short(axis.adapter)}" if axis.adapter else "Adapter weight"


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


def values_of(axis: Axis) -> tuple[Value, ...]:
    """The labelled values of `axis`, every one checked against the recipe's fields.

    Raises:
        GridError: no values, a value that the field refuses, one value twice, an unknown field, a skip that hits
            nothing.
    """
    title = default_title(axis) or "Settings"
    match axis:
        case FieldAxis():
            values = _field_values(axis, title)
        case SettingsAxis():
            values = _setting_values(axis, title)
        case ReplaceAxis():
            values = _replace_values(axis, title)
        case AdapterAxis():
            values = _adapter_values(axis, title)
        case WeightAxis():
            values = _weight_values(axis, title)
    if not values:
        raise GridError(f"The axis {title!r} is empty.", "Give it at least one value, or leave it out.")
    for label, count in Counter(value.label for value in values).items():
        if count > 1:
            raise GridError(f"The axis {title!r} has the value {label!r} {count} times.", "Keep one of them.")
    return _skip(values, axis.skip, title)


def matches(value: Value, wanted: object) -> bool:
    """Whether `wanted`, written in a skip or a view, means this value: by its label or as the value itself."""
    return wanted == value.label or (type(wanted) is not bool and wanted == value.raw) or str(wanted) == value.label


def _field_values(axis: FieldAxis, title: str) -> list[Value]:
    _known(axis.field, title)
    if axis.field == "adapters":
        raise GridError(
            "Adapters have an axis of their own.", "Write 'adapters: [none, NAME]' instead of 'field: adapters'."
        )
    written = _spelled(axis.values, _parser(axis.field), title)
    checked = [_check(axis.field, value, title) for value in written]
    shown = [_in_words(axis.field, value) for value in checked]
    labels = _labels(shown, paths=axis.field in ("model", *PICTURES))
    return [
        Value(label, Edit({axis.field: value}), plain)
        for label, value, plain in zip(labels, checked, shown, strict=True)
    ]


def _setting_values(axis: SettingsAxis, title: str) -> list[Value]:
    values = []
    for setting in axis.settings:
        if not setting.set:
            raise GridError(
                f"The setting {setting.label!r} of axis {title!r} sets nothing.", "Name at least one field."
            )
        for name in setting.set:
            _known(name, title)
        fields = {name: _check(name, value, title) for name, value in setting.set.items()}
        values.append(Value(setting.label, Edit(fields), setting.label))
    return values


def _replace_values(axis: ReplaceAxis, title: str) -> list[Value]:
    values = []
    for written in _spelled(axis.values, parse_texts, title):
        if isinstance(written, bool) or not isinstance(written, str | int | float):
            raise GridError(f"The value {written!r} of axis {title!r} is not a text.", "Put it in quotes.")
        text = _check("prompt", str(written), title)
        values.append(Value(text or "(nothing)", Edit(replacement=(axis.replace, text)), text))
    return values


def _adapter_values(axis: AdapterAxis, title: str) -> list[Value]:
    written = [_adapters(value, title) for value in _spelled(axis.adapters, parse_texts, title)]
    names = [adapter.name for adapters in written for adapter in adapters]
    short = dict(zip(names, _labels(names, paths=True), strict=True)) if len(set(names)) == len(names) else {}
    values = []
    for adapters in written:
        parts = [
            short.get(adapter.name, adapter.name) + ("" if adapter.weight == 1 else f" × {adapter.weight:g}")
            for adapter in adapters
        ]
        raw = adapters[0].name if len(adapters) == 1 else None
        values.append(Value(" + ".join(parts) or "none", Edit(adapters=adapters), raw))
    return values


def _weight_values(axis: WeightAxis, title: str) -> list[Value]:
    values = []
    for written in _spelled(axis.weights, _parse_weights, title):
        weight = _adapter({"name": axis.adapter or "all", "weight": written}, title).weight
        values.append(Value(_number(weight), Edit(weight=(axis.adapter, weight)), weight))
    return values


def _adapters(written: Any, title: str) -> tuple[Adapter, ...]:
    if written is None or written == "none":
        return ()
    if isinstance(written, (list, tuple)):
        return tuple(_adapter(part, title) for part in written)
    return (_adapter(written, title),)


def _adapter(written: Any, title: str) -> Adapter:
    if isinstance(written, Adapter):
        return written
    try:
        return Adapter.model_validate({"name": written} if isinstance(written, str) else written)
    except ValidationError as error:
        raise _explain(error, f"The value {written!r} of axis {title!r}", Adapter) from None


def _spelled(written: str | tuple[Any, ...], parse: Callable[[str], tuple[Any, ...]], title: str) -> tuple[Any, ...]:
    """Text through `parse`, lists as they are."""
    if not isinstance(written, str):
        return written
    if not written.strip():
        return ()
    try:
        return parse(written)
    except GridError as error:
        raise GridError(f"Axis {title!r}: {error.message}", error.remedy) from None


def _parse_weights(text: str) -> tuple[float, ...]:
    return parse_numbers(text, float)


def _parser(name: str) -> Callable[[str], tuple[Any, ...]]:
    kinds = get_args(Recipe.model_fields[name].annotation) or (Recipe.model_fields[name].annotation,)
    if float in kinds or int in kinds:
        return lambda text: parse_numbers(text, float if float in kinds else int)
    return parse_prompts if name in PROMPTS else parse_texts


def _known(name: str, title: str) -> None:
    if name not in Recipe.model_fields:
        raise GridError(f"Axis {title!r}: there is no recipe field {name!r}.", nearest(name, Recipe.model_fields))


def _check(name: str, value: Any, title: str) -> Any:
    """`value` as the recipe takes it."""
    try:
        if isinstance(value, bool):  # pydantic would read true as 1
            raise RecipeError(
                f"The recipe field {name!r} cannot be {value!r}: it is true or false.", "Put it in quotes."
            )
        return getattr(Recipe.parse({name: value}), name)  # every field has a default, so one is enough
    except RecipeError as error:
        reason = error.message[0].lower() + error.message[1:]
        raise GridError(f"The value {value!r} of axis {title!r} does not fit: {reason}", error.remedy) from None


def _skip(values: list[Value], skipped: Sequence[Any], title: str) -> tuple[Value, ...]:
    for wanted in skipped:
        if not any(matches(value, wanted) for value in values):
            known = nearest(str(wanted), [value.label for value in values])
            raise GridError(f"Axis {title!r} skips {wanted!r}, which is none of its values.", known)
    return tuple(
        Value(value.label, value.edit, value.raw, any(matches(value, wanted) for wanted in skipped)) for value in values
    )


def _labels(values: Sequence[Any], *, paths: bool = False) -> list[str]:
    """Readable labels; a path shortens to its last part where that stays unambiguous."""
    labels = [_short(value) if paths and isinstance(value, str) else _number(value) for value in values]
    counts = Counter(labels)
    return [
        label if counts[label] == 1 or not isinstance(value, str) else value
        for label, value in zip(labels, values, strict=True)
    ]


def _in_words(name: str, value: Any) -> Any:
    """A value as its label is made of: structured ones as text, and what is not given as 'none'."""
    if name == "references":
        return " + ".join(_reference(part) for part in value) or "none"
    if name == "margins":
        return ", ".join(str(pixels) for pixels in value) if value else "none"
    if name == "sigmas" and value is not None:
        return ", ".join(f"{sigma:g}" for sigma in value)
    return "none" if value is None and name in PICTURES else value


def _reference(reference: Reference) -> str:
    size = "" if reference.size == "fit" else f" ({reference.size})"
    return f"{short_name(reference.picture)}{size}"


def short_name(picture: str) -> str:
    """A picture's file name, or the start of its digest."""
    return picture[:12] if re.fullmatch(r"[0-9a-f]{64}", picture) else _short(picture)


def _number(value: Any) -> str:
    if value is None:
        return "model's default"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value) if str(value).strip() else "(empty)"


def _short(name: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return name[:12]
    return PurePath(name).name.removesuffix(".safetensors") or name


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _explain(error: ValidationError, where: str, owner: type[BaseModel]) -> GridError:
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
