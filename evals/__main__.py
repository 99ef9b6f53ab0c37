"""`python -m evals`: the same as the console script `evals`."""

from __future__ import annotations

from evals.cli import main

main()
