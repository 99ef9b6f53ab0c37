"""Panels for JupyterLab: thin views over recipes, sessions and grids.

Forms are ipywidgets, whatever is drawn is an anywidget of our own, and nothing is fetched from the network. A panel
holds no logic that a script could want, and no part of it imports torch.
"""

from __future__ import annotations

from workbench.panels.gallery import GalleryPanel
from workbench.panels.generation import GenerationPanel
from workbench.panels.grid import GridPanel
from workbench.panels.queue import QueuePanel

__all__ = ["GalleryPanel", "GenerationPanel", "GridPanel", "QueuePanel"]
