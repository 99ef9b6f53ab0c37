"""What the best possible contender would score: the OCR's own error on clean rendered text, beside typography scores."""

from __future__ import annotations

from evals.reports.findings import Findings, Measure


def ceilings(findings: Findings) -> list[str]:
    """One sentence for each OCR engine that was measured, or that none was."""
    found = dict.fromkeys(str(each["sentence"]) for each in findings.run.ceilings.values())
    reads = [each.name for each in findings.run.scorers if each.name.startswith("typography")]
    if reads and not found:
        return ["The OCR's own error was not measured in this run, so low values may be its fault."]
    return list(found)


def ceiling_of(findings: Findings, measure: Measure) -> float | None:
    """The value of a perfect picture, as far as it was measured."""
    means = findings.run.ceilings.get(measure.scorer.name, {}).get("means", {})
    value = means.get(measure.metric.name)
    return None if value is None else float(value)
