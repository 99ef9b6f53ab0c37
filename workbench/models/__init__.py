"""Models: the table of families, the catalog that identifies checkpoints, and loading. Importing this is torch-free."""

from workbench.models.catalog import Model, ModelCatalog
from workbench.models.families import FAMILIES, Family

__all__ = ["FAMILIES", "Family", "Model", "ModelCatalog"]
