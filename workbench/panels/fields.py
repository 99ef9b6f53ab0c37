"""One control per recipe field, made from the field's type, range and description.

Numbers are text boxes: an empty one means "the model's default", which is shown in grey, and a 64-bit seed survives the
browser, whose own numbers have 53 bits. What is typed is checked by the recipe itself, so form, file and command line
refuse the same things with the same words.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal, get_args, get_origin

import ipywidgets as widgets
from pydantic.fields import FieldInfo

from workbench.errors import RecipeError
from workbench.recipe import Recipe
from workbench.recipe.approximate import METHODS

WIDE = ("prompt", "negative_prompt")  # text of more than one line
LISTS = ("sigmas",)  # numbers with commas between them
LINES = ("regions", "boxes")  # one a line


class Control:
    """A labelled widget for one field, and the way between its text and the field's value.

    Args:
        name: field of `Recipe`.
        label: what stands beside the widget; the field's name when empty.
    """

    def __init__(self, name: str, label: str = "") -> None:
        field = Recipe.model_fields[name]
        self.name, self.label = name, label or name.replace("_", " ")
        self.kind, self.optional = kind_of(field)
        self.help = field.description or ""
        self._default = field.get_default(call_default_factory=True)
        self.widget = self._build(field)
        self.widget.add_class(f"wb-field-{name.replace('_', '-')}")

    def _build(self, field: FieldInfo) -> widgets.ValueWidget:
        common = {"description": self.label, "tooltip": self.help, "layout": widgets.Layout(width="auto")}
        if self.kind is str and self.name in WIDE:
            return widgets.Textarea(rows=4 if self.name == "prompt" else 2, continuous_update=False, **common)
        if self.name in LINES:
            hint = {"regions": "left,top,right,bottom: prompt", "boxes": "id: left,top,right,bottom: looks"}[self.name]
            return widgets.Textarea(rows=2, continuous_update=False, placeholder=hint, **common)
        if get_origin(self.kind) is Literal:
            # "" and not None: a dropdown whose value is None shows nothing, not the label of None
            empty = [("default", "")] if self.optional else []
            options = [*empty, *((str(choice), choice) for choice in get_args(self.kind))]
            return widgets.Dropdown(options=options, value="" if self._default is None else self._default, **common)
        if self.name == "cache":
            return widgets.Combobox(
                options=list(METHODS), placeholder="exact", ensure_option=False, continuous_update=False, **common
            )
        text = "" if self._default is None else str(self._default)
        return widgets.Text(value=text, continuous_update=False, **common)

    @property
    def value(self) -> Any:
        """The field's value.

        Raises:
            RecipeError: the text is no number.
        """
        raw = self.widget.value
        if self.name in LISTS:
            return raw.strip() or None
        if self.name in LINES:
            return tuple(line.strip() for line in raw.splitlines() if line.strip())
        if self.kind not in (int, float):
            return None if raw == "" and self.optional else raw
        text = str(raw).strip()
        if not text and self.optional:
            return None
        try:
            return self.kind(text)
        except ValueError:
            what = "a whole number" if self.kind is int else "a number"
            raise RecipeError(f"{self.label}: {text!r} is not {what}.", self.help) from None

    @value.setter
    def value(self, value: Any) -> None:
        if self.kind in (int, float):
            value = "" if value is None else repr(value)
        if value is None and (self.kind is str or get_origin(self.kind) is Literal):
            value = ""
        if self.name in LISTS:
            value = ", ".join(repr(part) for part in value or ())
        if self.name in LINES:
            value = "\n".join(str(part) for part in value)
        self.widget.value = value

    def placeholder(self, text: str) -> None:
        """Show `text` in grey while the control is empty."""
        if hasattr(self.widget, "placeholder"):
            self.widget.placeholder = text

    def allow(self, acts: bool, why_not: str = "") -> None:
        """Enable the control, or disable it and say why in its tooltip."""
        self.widget.disabled = not acts
        self.widget.tooltip = self.help if acts else f"{why_not} {self.help}".strip()


def kind_of(field: FieldInfo) -> tuple[Any, bool]:
    """The type of one value of `field` without None, and whether None is allowed."""
    annotation = field.annotation
    arguments = get_args(annotation)
    if NoneType in arguments:
        rest = tuple(argument for argument in arguments if argument is not NoneType)
        assert len(rest) == 1  # a recipe field is of one type, or of one type and None
        return rest[0], True
    return annotation, False
