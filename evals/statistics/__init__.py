"""Statistics one can defend: clustered intervals, paired tests, corrections, and what a run could have found."""

from __future__ import annotations

from evals.statistics.agreement import RankAgreement, rank_agreement
from evals.statistics.intervals import StatisticsError, mean_interval, share_interval
from evals.statistics.paired import holm, paired_difference
from evals.statistics.pareto import pareto_front
from evals.statistics.power import detectable_difference, prompts_needed, spread_with_seeds
from evals.statistics.types import Difference, Estimate

__all__ = [
    "Difference",
    "Estimate",
    "RankAgreement",
    "StatisticsError",
    "detectable_difference",
    "holm",
    "mean_interval",
    "paired_difference",
    "pareto_front",
    "prompts_needed",
    "rank_agreement",
    "share_interval",
    "spread_with_seeds",
]
