"""Recipes: what decides the pixels of a picture, checked, completed and made canonical.

`recipe.py` is the whole; its fields come from modules of their own: `conditions` (pictures to start from), `controls`,
`layout` (regions and boxes), `solvers`, `approximate` (caches), `block_weights`, `numbers`. `known` is what a recipe asks
of a catalog, `text` how it is written down.
"""

from workbench.recipe.known import Catalog, Defaults, Precision, Quantisation
from workbench.recipe.recipe import DEFAULT_MODEL, Adapter, Recipe, ResolvedRecipe, resolve
from workbench.recipe.text import dump_yaml

__all__ = [
    "DEFAULT_MODEL", "Adapter", "Catalog", "Defaults", "Precision", "Quantisation", "Recipe", "ResolvedRecipe",
    "dump_yaml", "resolve",
]  # fmt: skip
