"""Evals: independent checks of what a model drew, held-out suites, and reports with intervals."""

from __future__ import annotations
