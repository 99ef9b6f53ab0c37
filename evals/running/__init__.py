"""Runs of suites: contenders draw the same prompts with the same seeds, scorers judge, everything is cached."""

from __future__ import annotations

from evals.running.cache import ScoreCache
from evals.running.files import load_run, save_run
from evals.running.plan import estimate_run, seed_of
from evals.running.run import run_suite
from evals.running.scores import score_pictures
from evals.running.types import COLUMNS, Cell, Contender, EvalRun, RunError, ScorerFacts

__all__ = [
    "COLUMNS",
    "Cell",
    "Contender",
    "EvalRun",
    "RunError",
    "ScoreCache",
    "ScorerFacts",
    "estimate_run",
    "load_run",
    "run_suite",
    "save_run",
    "score_pictures",
    "seed_of",
]
