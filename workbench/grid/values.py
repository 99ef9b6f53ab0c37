"""What an axis stands for: labelled values, each with one edit of a recipe.

Every value passes through the recipe's own field checks here, long before anything runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from workbench.errors import GridError, RecipeError, nearest
from workbench.grid.axis import (
    PROMPTS,
    AdapterAxis,
    Axis,
    FieldAxis,
    ReplaceAxis,
    SettingsAxis,
    WeightAxis,
    default_title,
    explain,
)
from workbench.grid.labels import PICTURES, labels_of, number, shown_value
from workbench.grid.ranges import parse_numbers, parse_prompts, parse_texts
from workbench.recipe import Adapter, Recipe


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


def values_of(axis: Axis, *, repeats: bool = False) -> tuple[Value, ...]:
    """The labelled values of `axis`, every one checked against the recipe's fields.

    Args:
        axis: as a person wrote it.
        repeats: whether a value may stand there twice, as on axes that advance together.

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
        if count > 1 and not repeats:
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
    shown = [shown_value(axis.field, value) for value in checked]
    labels = labels_of(shown, paths=axis.field in ("model", *PICTURES))
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
    short = dict(zip(names, labels_of(names, paths=True), strict=True)) if len(set(names)) == len(names) else {}
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
        values.append(Value(number(weight), Edit(weight=(axis.adapter, weight)), weight))
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
        raise explain(error, f"The value {written!r} of axis {title!r}", Adapter) from None


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
    kinds = _kinds(name)
    if float in kinds or int in kinds:
        return lambda text: parse_numbers(text, float if float in kinds else int)
    return parse_prompts if name in PROMPTS else parse_texts


def _kinds(name: str) -> tuple[Any, ...]:
    """The types that a recipe field takes."""
    annotation = Recipe.model_fields[name].annotation
    return get_args(annotation) or (annotation,)


def _known(name: str, title: str) -> None:
    if name not in Recipe.model_fields:
        raise GridError(f"Axis {title!r}: there is no recipe field {name!r}.", nearest(name, Recipe.model_fields))


def _check(name: str, value: Any, title: str) -> Any:
    """`value` as the recipe takes it."""
    try:
        if isinstance(value, bool) and bool not in _kinds(name):  # pydantic would read true as 1
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
