"""Rows of adapter and weight: as many LoRAs as one likes, each with a box to remove it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ipywidgets as widgets

from workbench.errors import RecipeError
from workbench.recipe import Adapter


class AdapterRows(widgets.VBox):
    """Adapters of a recipe.

    Args:
        known: names offered while typing; any other name or path may be typed as well.
        changed: called after every change.
    """

    def __init__(self, known: Iterable[str], changed: Callable[[], None]) -> None:
        self._known, self._changed = tuple(known), changed
        self.add = widgets.Button(description="Add adapter", icon="plus", tooltip=Adapter.__doc__)
        self.add.add_class("wb-add-adapter")
        self.add.on_click(lambda _: self._append("", 1.0))
        super().__init__([self.add])
        self.add_class("wb-adapters")

    @property
    def rows(self) -> list[widgets.HBox]:
        """One box per adapter: name, weight, remove button."""
        return list(self.children[:-1])

    @property
    def value(self) -> tuple[Adapter, ...]:
        """The adapters in order; rows without a name are left out.

        Raises:
            RecipeError: a weight is no number or out of range.
        """
        return tuple(_adapter(row) for row in self.rows if row.children[0].value)

    @value.setter
    def value(self, adapters: Iterable[Adapter]) -> None:
        self.children = (*(self._row(adapter.name, adapter.weight) for adapter in adapters), self.add)

    def _append(self, name: str, weight: float) -> None:
        self.children = (*self.rows, self._row(name, weight), self.add)
        self._changed()

    def _row(self, name: str, weight: float) -> widgets.HBox:
        title = widgets.Combobox(value=name, options=self._known, placeholder="adapter or path", ensure_option=False)
        title.tooltip = Adapter.model_fields["name"].description
        amount = widgets.Text(value=repr(weight), layout=widgets.Layout(width="72px"), continuous_update=False)
        amount.tooltip = Adapter.model_fields["weight"].description
        remove = widgets.Button(icon="times", tooltip="Remove this adapter", layout=widgets.Layout(width="36px"))
        row = widgets.HBox([title, amount, remove]).add_class("wb-row")
        remove.on_click(lambda _: self._remove(row))
        for part in (title, amount):
            part.observe(lambda _: self._changed(), "value")
        return row

    def _remove(self, row: widgets.HBox) -> None:
        self.children = (*(other for other in self.rows if other is not row), self.add)
        self._changed()


def _adapter(row: widgets.HBox) -> Adapter:
    name, text = row.children[0].value, row.children[1].value
    try:
        return Adapter(name=name, weight=float(text))
    except ValueError:  # pydantic's ValidationError is one
        description = Adapter.model_fields["weight"].description or ""
        raise RecipeError(f"The weight of adapter {name!r} cannot be {text!r}.", description) from None
