"""One file for each step; see `workbench.store.migrations`."""
