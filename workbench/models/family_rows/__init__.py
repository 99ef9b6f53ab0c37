"""The rows of `workbench.models.families`, one module per line of models."""
