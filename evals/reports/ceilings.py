"""What the best possible contender would score: the OCR's own error on clean rendered text, beside typography scores."""

from __future__ import annotations

from evals.reports.findings import Findings


def ceilings(findings: Findings) -> list[tuple[str, str]]:
    """Heading and text for each scorer that has a measured ceiling."""
    return []
