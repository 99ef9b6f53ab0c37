"""Adapter files of every dialect that FLUX tools write: told apart by their headers, read as one thing.

`identify` reads names and shapes only; `read_changes` gives the change of each of a transformer's linear layers. The
tables are in `layout` (layers under both names) and `names` (prefixes and endings).
"""
