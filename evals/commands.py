"""The commands over finished runs: report, compare, scorers, power."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from evals.run_command import tell
from workbench.cli._common import CHECK_FAILED, JsonOption, complain, guard, print_json, print_table


@guard
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that 'evals run --out' has written.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where to; default: the same folder.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the report of a run again: HTML and Markdown."""
    from evals.reports import analyse, write_report
    from evals.running import load_run

    findings = analyse(load_run(folder))
    tell(findings, write_report(findings.run, out or folder, findings), json=json)


@guard
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Folder of the reference run.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Folder of the run that is tested.")],
    *,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 1 when a main metric is shown to be worse.")] = False,
    tolerance: Annotated[float, typer.Option(metavar="X", help="A loss that is accepted: 0.01 is one point.")] = 0.0,
    json: JsonOption = False,
) -> None:
    """Compare two runs of a suite: did a model, an adapter or a library upgrade make anything worse?"""
    from evals.compare import compare_runs
    from evals.running import load_run

    found = compare_runs(load_run(old), load_run(new), tolerance=tolerance)
    if json:
        print_json(
            {
                "passed": found.passed,
                "regressions": found.regressions,
                "notes": found.notes,
                "changes": [
                    {"scorer": each.measure.scorer.name, "metric": each.measure.metric.name, "main": each.measure.main,
                     "version": each.measure.scorer.version, "old": each.old, "new": each.new, "dropped": each.dropped,
                     "sentence": each.sentence, **_finite(asdict(each.difference))}
                    for each in found.changes
                ],
            }
        )  # fmt: skip
    else:
        for each in found.changes:
            if each.measure.main or each.difference.better is not None:
                typer.echo(each.sentence)
        for note in found.notes:
            complain(f"Note: {note}")
        for each_lost in found.regressions:
            complain(f"Regression: {each_lost}")
        typer.echo("The gate is open: nothing is shown to be worse." if found.passed else "The gate is shut.")
    if gate and not found.passed:
        raise typer.Exit(CHECK_FAILED)


@guard
def scorers(json: JsonOption = False) -> None:
    """List all scorers: their metrics, versions, and what they lack here."""
    from evals.scorers import list_scorers

    found = list_scorers()
    if json:
        print_json([asdict(each) for each in found])
        return
    rows = []
    for each in found:
        marks = [f"{metric.name} {'↑' if metric.direction == 'higher' else '↓'}" for metric in each.metrics]
        shown = ", ".join(marks[:4]) + (f" and {len(marks) - 4} more" if len(marks) > 4 else "")
        rows.append((each.name, "ready" if not each.missing else "lacks weights", shown, each.about))
    print_table(("name", "here", "metrics", "about"), rows)
    for each in found:
        if each.missing:
            typer.echo(f"{each.name}: {each.missing}")


@guard
def power(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A run whose spread is used; or give --spread.")
    ] = None,
    *,
    difference: Annotated[
        float | None, typer.Option(metavar="X", help="Smallest difference that matters: 0.03 is 3 points.")
    ] = None,
    prompts: Annotated[int | None, typer.Option(metavar="N", help="Prompts there will be.")] = None,
    spread: Annotated[
        float | None, typer.Option(metavar="X", help="Standard deviation of the prompts' paired differences.")
    ] = None,
    chance: Annotated[float, typer.Option("--power", metavar="X", help="Chance to find the difference.")] = 0.8,
    json: JsonOption = False,
) -> None:
    """How many prompts a difference needs, or how small a difference a number of prompts can show."""
    from evals.power import plan_sizes

    rows = plan_sizes(folder, spread=spread, difference=difference, prompts=prompts, power=chance)
    if json:
        print_json([_finite(row) for row in rows])
        return
    columns = ("measure", "compared", "spread", "difference", "prompts")
    print_table(columns, [tuple(row[name] for name in columns) for row in rows])
    typer.echo(f"A paired two-sided test at 5 % finds such a difference in {100 * chance:g} % of runs.")


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: an unbounded number is null."""
    return {k: None if isinstance(v, float) and v in (float("inf"), float("-inf")) else v for k, v in values.items()}
