"""Panels of the trainer: thin views, as those of the workbench."""
