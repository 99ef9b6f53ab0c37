"""Grids: axes -> recipes -> pictures -> figure, page and table."""

from workbench.grid.axis import AdapterAxis, Axis, FieldAxis, ReplaceAxis, Setting, SettingsAxis, Value, WeightAxis
from workbench.grid.expand import Cell, Dimension, Plan
from workbench.grid.grid import Grid

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
