"""Panels of the evaluations: thin views, as those of the workbench."""

from __future__ import annotations

from evals.panels.arena import ArenaPanel

__all__ = ["ArenaPanel"]
