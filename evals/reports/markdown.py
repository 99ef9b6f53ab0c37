"""The same findings as Markdown, for issues, READMEs and model cards."""

from __future__ import annotations

from evals.reports.ceilings import ceilings
from evals.reports.findings import ALL, Findings, Measure
from evals.reports.page import METHODS, lead, provenance, title
from evals.reports.sentences import cautions, headline, interval, number


def render(findings: Findings) -> str:
    """The report of a run as GitHub-flavoured Markdown; pictures are in the HTML page."""
    run = findings.run
    mains = [each for each in findings.measures if each.main]
    others = [each for each in findings.measures if not each.main]
    lines = [f"# {escape(title(findings))}", "", escape(lead(findings)), "", "## Summary", ""]
    lines += [f"- {escape(each)}" for each in headline(findings)]
    if notes := cautions(findings):
        lines += ["", "Cautions:", "", *(f"- {escape(each)}" for each in notes)]
    lines += ["", "## Results", "", "Means with 95 % intervals; shares in points of 100.", ""]
    lines += _table(findings, [(each, ALL, each.title) for each in mains])
    for measure in mains:
        kinds = [kind for kind in run.suite.kinds if any(findings.mean(measure, n, kind) for n in run.names)]
        if kinds and len(run.suite.kinds) > 1:
            lines += ["", f"### {escape(measure.title)}, skill by skill", ""]
            lines += _table(findings, [(measure, kind, kind) for kind in kinds])
    if others:
        lines += ["", "## All metrics", "", *_table(findings, [(each, ALL, each.title) for each in others])]
    lines += ["", "## Failures", "", "| Contender | Step | Failed | Of |", "|---|---|---:|---:|"]
    lines += [
        f"| {escape(each.contender)} | {escape(f'scored by {each.scorer}' if each.scorer else 'made')} | {each.failed} "
        f"| {each.total} |"
        for each in findings.counts
    ]
    lines += ["", "## How it was made", "", *(f"- {name}: {escape(value)}" for name, value in provenance(findings))]
    lines += [f"- Scorer {escape(each.name)}: version {escape(each.version)}" for each in run.scorers]
    lines += [f"- {escape(each)}" for each in ceilings(findings)]
    lines += [f"- {escape(name)}: {escape(value)}" for name, value in sorted(run.environment.items())]
    return "\n".join([*lines, "", *(each + "\n" for each in METHODS)])


def escape(text: str) -> str:
    """One line in which no character is markup; prompts and names may hold any."""
    line = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in line)


def _table(findings: Findings, rows: list[tuple[Measure, str, str]]) -> list[str]:
    names = findings.run.names
    lines = [f"| | {' | '.join(map(escape, names))} | n | Better |", "|---|" + "---|" * len(names) + "---:|---|"]
    for measure, kind, heading in rows:
        found = [findings.mean(measure, name, kind) for name in names]
        cells = [
            f"{number(each.estimate.value, measure)} ({interval(each.estimate.low, each.estimate.high, measure)})"
            if each
            else "not asked"
            for each in found
        ]
        n = " / ".join(str(each.estimate.n) if each else "0" for each in found)
        lines.append(f"| {escape(heading)} | {' | '.join(cells)} | {n} | {measure.metric.direction} |")
    return lines
