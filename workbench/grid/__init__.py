"""Grids: axes -> recipes -> pictures -> figure, page and table."""

from workbench.grid.axis import AdapterAxis, Axis, FieldAxis, ReplaceAxis, Setting, SettingsAxis, WeightAxis
from workbench.grid.grid import Grid
from workbench.grid.plan import Cell, Dimension, Plan
from workbench.grid.values import Value

__all__ = [
    "AdapterAxis",
    "Axis",
    "Cell",
    "Dimension",
    "FieldAxis",
    "Grid",
    "Plan",
    "ReplaceAxis",
    "Setting",
    "SettingsAxis",
    "Value",
    "WeightAxis",
]
