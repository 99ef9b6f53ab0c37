"""What a grid is made of, as editors: a base recipe, axes, seeds; and the same as YAML, both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.errors import GridError
from workbench.grid import Axis, FieldAxis, Grid
from workbench.grid.ranges import parse_numbers
from workbench.panels.axes import AxisRow
from workbench.panels.banner import Banner
from workbench.panels.forms import Catalog, RecipeForm


class GridEditor(widgets.HBox):
    """Editors for one grid.

    Args:
        catalog: names models and adapters.
        grid: what the editors show first.
        banner: where errors of the editors' own callbacks are shown.
    """

    def __init__(self, catalog: Catalog, grid: Grid, banner: Banner) -> None:
        self._catalog, self._banner = catalog, banner
        self._listeners: list[Callable[[], None]] = []
        self._rest: dict[str, Any] = {}  # skip and max_pictures, which are edited as YAML only but kept
        self._quiet = False
        self.form = RecipeForm(catalog, grid.base, banner=banner)
        self.form.on_change(self._changed)
        self.axes = widgets.VBox().add_class("wb-axes")
        self.title = _text("title", "stands over the figure", "wb-title")
        self.seeds = _text("seeds", "the base's; or 1-4; or 7, 11", "wb-seeds")
        self.seeds.tooltip = "Every cell gets one picture per seed: '1-4', '7, 11', or empty for the base's seed."
        self.add_button = widgets.Button(description="Add axis", icon="plus").add_class("wb-add-axis")
        self.yaml_button = widgets.ToggleButton(description="YAML", icon="code").add_class("wb-yaml-toggle")
        self.yaml_button.tooltip = "The whole grid as text: copy it to a file, or paste one here."
        self.yaml = widgets.Textarea(rows=12, layout=widgets.Layout(width="auto")).add_class("wb-yaml-text")
        self.load_button = widgets.Button(description="Load into the editors", icon="arrow-up")
        self.load_button.layout.width = "auto"
        self._yaml_box = widgets.VBox([self.yaml, self.load_button], layout=widgets.Layout(display="none"))
        self._note = widgets.HTML().add_class("wb-note")
        for name in ("title", "seeds"):
            getattr(self, name).observe(lambda _: self._changed(), "value")
        self.add_button.on_click(banner.guarded(lambda _: self.add(FieldAxis(field="guidance_scale", values=""))))
        self.yaml_button.observe(banner.guarded(lambda _: self._show_yaml()), "value")
        self.load_button.on_click(banner.guarded(lambda _: self.load(self.yaml.value)))
        buttons = widgets.HBox([self.add_button, self.yaml_button]).add_class("wb-actions")
        right = [self.axes, self.seeds, self.title, self._note, buttons, self._yaml_box]
        super().__init__([self.form, widgets.VBox(right).add_class("wb-knobs")])
        self.add_class("wb-body")
        self.add_class("wb-grid-editor")
        self.show(grid)

    @property
    def rows(self) -> tuple[AxisRow, ...]:
        """The editors of the axes, in order."""
        return tuple(self.axes.children)

    @property
    def parts(self) -> dict[str, Any]:
        """The arguments of `Grid`, as typed; making the grid checks them.

        Raises:
            WorkbenchError: text that cannot be read as what it should be.
        """
        seeds = self.seeds.value.strip()
        return {
            "base": self.form.recipe,
            "axes": [row.axis for row in self.rows],
            "seeds": list(parse_numbers(seeds, int)) if seeds else None,
            "title": self.title.value,
            **self._rest,
        }

    def show(self, grid: Grid) -> None:
        """Show `grid` in the editors."""
        self._quiet = True
        try:
            self.form.recipe = grid.base
            self.axes.children = [self._row(axis) for axis in grid.axes]
            self.title.value = grid.title
            self.seeds.value = "" if grid.seeds is None else ", ".join(map(str, grid.seeds))
            self._rest = {"skip": grid.skip, "max_pictures": grid.max_pictures}
            self._note.value = f"{len(grid.skip)} combinations are left out (see YAML)" if grid.skip else ""
        finally:
            self._quiet = False
        self._changed()

    def load(self, text: str) -> None:
        """Show the grid that `text` (YAML) describes.

        Raises:
            GridError: it describes none.
        """
        self.show(Grid.from_yaml(text))
        self._banner.clear()

    def add(self, axis: Axis) -> None:
        """Append an axis."""
        self.axes.children = (*self.rows, self._row(axis))
        self._changed()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)

    def _row(self, axis: Axis) -> AxisRow:
        models = [model.name for model in self._catalog.models()]
        return AxisRow(axis, models, self._changed, self._remove, self._banner)

    def _remove(self, gone: AxisRow) -> None:
        self.axes.children = tuple(row for row in self.rows if row is not gone)
        self._changed()

    def _changed(self) -> None:
        if self._quiet:
            return
        for listener in self._listeners:
            with self._banner.guard():
                listener()

    def _show_yaml(self) -> None:
        """Fill the text from the editors when it is opened."""
        self._yaml_box.layout.display = "" if self.yaml_button.value else "none"
        if self.yaml_button.value:
            try:
                self.yaml.value = Grid(**self.parts).to_yaml()
            except GridError as error:
                self.yaml.value = f"# {error}"


def _text(label: str, placeholder: str, name: str) -> widgets.Text:
    made = widgets.Text(
        description=label, placeholder=placeholder, continuous_update=False, layout=widgets.Layout(width="auto")
    )
    return made.add_class(name)
