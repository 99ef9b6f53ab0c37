"""Reports of runs: one self-contained page, Markdown and Parquet, each number with all that it needs."""

from __future__ import annotations
