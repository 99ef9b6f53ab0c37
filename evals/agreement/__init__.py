"""Do raters agree, do scorers agree, and do scorers agree with people?

Krippendorff's alpha for raters, Kendall's tau-b for rankings, and pairwise accuracy with ties for a metric that should
say which of two pictures people prefer. Every number has a 95 % interval by bootstrap over prompts, as votes and scores
of one prompt are not independent. Values that are not defined (all ratings alike, a constant metric) are None, never 0.
"""

from __future__ import annotations

from evals.agreement.measures import AgreementError, PairwiseAccuracy, krippendorff_alpha, pairwise_accuracy
from evals.agreement.scores import HumanAgreement, Pairing, human_agreement, metrics_of, scorers_agreement

__all__ = [
    "AgreementError",
    "HumanAgreement",
    "Pairing",
    "PairwiseAccuracy",
    "human_agreement",
    "krippendorff_alpha",
    "metrics_of",
    "pairwise_accuracy",
    "scorers_agreement",
]
