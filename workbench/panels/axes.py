"""Typed editors for axes: choose what changes, then its values.

A number is written as a list or a range (`4, 8, 28`, `1-10 (+2)`, `0-1 [5]`), a prompt one a line, a model or a
precision is picked from a list. Anything may also be written as a YAML list in square brackets. What the text means,
and whether it is right, is the grid's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

import ipywidgets as widgets
import yaml

from workbench.errors import GridError
from workbench.grid import AdapterAxis, Axis, FieldAxis, ReplaceAxis, SettingsAxis, WeightAxis
from workbench.grid.axis import PROMPTS
from workbench.panels.banner import Banner
from workbench.panels.fields import kind_of
from workbench.recipe import Recipe, dump_yaml

REPLACE, SETTINGS, ADAPTERS, WEIGHTS = "replace", "settings", "adapters", "weights"
FIELDS = [name for name in Recipe.model_fields if name not in ("task", "adapters")]
KINDS = [
    *((name.replace("_", " "), name) for name in FIELDS),
    ("text in the prompt", REPLACE),
    ("several fields", SETTINGS),
    ("adapter", ADAPTERS),
    ("adapter weight", WEIGHTS),
]
EXAMPLES = {
    REPLACE: "red, green, blue",
    SETTINGS: "one a line, as\nquick: {steps: 4, guidance_scale: 1}",
    ADAPTERS: "none, name, other name",
    WEIGHTS: "0-1 [5]",
    "references": "a.png, b.png   or   [[a.png, b.png], []]",
    "image": "a.png, b.png",
    "control": "a.png, b.png",
    "redux": "a.png, b.png   or   [[a.png, b.png], []]",
    "mask": "a.png, b.png",
    "sigmas": "['1, 0.8, 0.4', '1, 0.5, 0.2']",
    "schedule": "karras, exponential, beta",
    "sampler": "euler, heun, dpmpp-2m",
    "margins": "['0,0,64,0', '64,0,64,0']",
    "regions": "[['0,0,0.5,1: a red circle'], ['0,0,0.5,1: a blue square']]",
    "boxes": "[['cat_1: 0,0,0.5,1: a black cat'], []]",
    "prompt": "one prompt a line",
    "negative_prompt": "one prompt a line",
}


class AxisRow(widgets.VBox):
    """One axis.

    Args:
        axis: what the row shows first.
        models: names offered for the model.
        changed: called after every change.
        removed: called with this row when it is to go.
        banner: where errors of the row's own callbacks are shown.
    """

    def __init__(
        self,
        axis: Axis,
        models: Sequence[str],
        changed: Callable[[], None],
        removed: Callable[[AxisRow], None],
        banner: Banner,
    ) -> None:
        self._models, self._changed = models, changed
        self._rest: dict[str, Any] = {}  # title and skip of the axis, which the row does not edit but keeps
        self.kind = widgets.Dropdown(options=KINDS, layout=widgets.Layout(width="150px", flex="0 0 auto"))
        self.kind.tooltip = "What this axis changes."
        self.target = widgets.Text(layout=widgets.Layout(width="auto"), continuous_update=False)
        self.remove = widgets.Button(icon="times", tooltip="Remove this axis", layout=widgets.Layout(width="36px"))
        self.remove.on_click(banner.guarded(lambda _: removed(self)))
        self.values: widgets.ValueWidget = widgets.Text()
        self._note = widgets.HTML().add_class("wb-note")
        super().__init__()
        for name in ("kind", "target", "remove"):
            getattr(self, name).add_class(f"wb-axis-{name}")
        self.add_class("wb-axis")
        self._show(axis)
        self.kind.observe(banner.guarded(lambda _: self._new_kind()), "value")
        self.target.observe(lambda _: changed(), "value")

    @property
    def axis(self) -> dict[str, Any]:
        """The axis as the mapping that a grid takes.

        Raises:
            GridError: square brackets or settings that are no YAML.
        """
        kind, target, values = self.kind.value, self.target.value, self._written()
        match kind:
            case "replace":
                return {"replace": target, "values": values, **self._rest}
            case "settings":
                return {"settings": values, **self._rest}
            case "adapters":
                return {"adapters": values, **self._rest}
            case "weights":
                return {"weights": values, "adapter": target or None, **self._rest}
        return {"field": kind, "values": values, **self._rest}

    def _written(self) -> Any:
        raw = self.values.value
        if not isinstance(raw, str):
            return list(raw)
        text = raw.strip()
        if self.kind.value == SETTINGS:
            settings = _yaml(text, self.kind.label)
            if settings is not None and not isinstance(settings, dict):
                raise GridError("Several fields are written as 'label: {field: value}', one a line.", "")
            return [{"label": str(label), "set": fields} for label, fields in (settings or {}).items()]
        return _yaml(text, self.kind.label) if text.startswith("[") else text

    def _show(self, axis: Axis) -> None:
        self._rest = axis.model_dump(include={"title", "skip"}, exclude_defaults=True)
        kind, target, values = _parts(axis)
        self.kind.value, self.target.value = kind, target
        self._new_editor()
        if isinstance(self.values, widgets.SelectMultiple):
            chosen = tuple(value for value in values if value) if isinstance(values, tuple) else (values,)
            self.values.options = [*dict.fromkeys([*self.values.options, *chosen])]
            self.values.value = chosen
        else:
            self.values.value = spell(kind, values)
        kept = ", ".join(f"{name}: {value}" for name, value in self._rest.items())
        self._note.value = kept

    def _new_kind(self) -> None:
        self._rest, self._note.value, self.target.value = {}, "", ""
        self._new_editor()
        self._changed()

    def _new_editor(self) -> None:
        """The editor that fits what the axis changes."""
        kind = self.kind.value
        wide = {"layout": widgets.Layout(width="auto", flex="1 1 auto")}
        choices = self._models if kind == "model" else _choices(kind)
        if choices:
            self.values = widgets.SelectMultiple(options=choices, rows=min(5, max(2, len(choices))), **wide)
            self.values.tooltip = "Hold Ctrl (or Cmd) to choose several."
        elif kind in (*PROMPTS, SETTINGS):
            self.values = widgets.Textarea(placeholder=EXAMPLES[kind], rows=3, continuous_update=False, **wide)
        else:
            example = EXAMPLES.get(kind, "4, 8, 28   or   4-28 [4]   or   1-10 (+2)")
            self.values = widgets.Text(placeholder=example, continuous_update=False, **wide)
        self.values.add_class("wb-axis-values")
        self.values.observe(lambda _: self._changed(), "value")
        self.target.placeholder = "text to replace" if kind == REPLACE else "adapter (empty: all)"
        self.target.layout.display = "" if kind in (REPLACE, WEIGHTS) else "none"
        head = widgets.HBox([self.kind, self.target, self.values, self.remove]).add_class("wb-row")
        self.children = (head, self._note)


def spell(kind: str, values: str | tuple[Any, ...]) -> str:
    """Values as text that an editor of `kind` reads back as the same values."""
    if isinstance(values, str):
        return values
    if kind == SETTINGS:
        return "\n".join(f"{_flow(label)}: {_flow(fields)}" for label, fields in values)
    if kind in PROMPTS and all(isinstance(value, str) and _is_a_line(value) for value in values):
        return "\n".join(values)
    return _flow(list(values))


def _is_a_line(text: str) -> bool:
    """Whether `text` survives being one line among others."""
    return bool(text) and text == text.strip() and len(text.splitlines()) == 1 and "||" not in text and text[0] != "["


def _parts(axis: Axis) -> tuple[str, str, Any]:
    """Kind, target and values of an axis."""
    match axis:
        case FieldAxis():
            return axis.field, "", axis.values
        case ReplaceAxis():
            return REPLACE, axis.replace, axis.values
        case SettingsAxis():
            return SETTINGS, "", tuple((setting.label, setting.set) for setting in axis.settings)
        case AdapterAxis():
            return ADAPTERS, "", axis.adapters
        case WeightAxis():
            return WEIGHTS, axis.adapter or "", axis.weights


def _choices(kind: str) -> tuple[str, ...]:
    """The values of a field that has a fixed few."""
    if kind not in Recipe.model_fields:
        return ()
    inner, _ = kind_of(Recipe.model_fields[kind])
    return tuple(get_args(inner)) if get_origin(inner) is Literal else ()


def _flow(value: Any) -> str:
    """YAML on one line."""
    return dump_yaml(value, default_flow_style=True, width=10**9).removesuffix("...\n").strip()


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise GridError(f"The values of {where!r} are not valid YAML: {' '.join(str(error).split())}.") from None
