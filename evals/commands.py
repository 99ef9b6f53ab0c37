"""The commands over runs: run, report, compare, scorers, power."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from workbench.cli._common import (
    CHECK_FAILED,
    BatchOption,
    DeviceOption,
    HomeOption,
    JsonOption,
    complain,
    guard,
    open_session,
    print_json,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from evals.reports import Findings
    from evals.running import Contender
    from evals.running.scores import Told
    from evals.suite import Suite

_MANY = ("--models", "--scorers")


class ManyValues(TyperCommand):
    """Lets `--models` and `--scorers` take several values: `--models A B C` is `--models A --models B --models C`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its values, then parse as ever."""
        spread: list[str] = []
        option = ""
        for arg in args:
            if arg.startswith("-"):
                option = arg if arg in _MANY else ""
                if not option:
                    spread.append(arg)
            elif option:
                spread += [option, arg]
            else:
                spread.append(arg)
        return super().parse_args(ctx, spread)


@guard
def run(
    suite: Annotated[
        str | None,
        typer.Argument(metavar="SUITE", help="A shipped suite, a JSON file, or FORMAT:PATH of a public one."),
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the run and its report.")],
    models: Annotated[
        list[str] | None,
        typer.Option("--models", metavar="MODEL...", help="MODEL[,FIELD=VALUE...] or a YAML file, several of them."),
    ] = None,
    scorers: Annotated[
        list[str] | None,
        typer.Option("--scorers", metavar="NAME...", help="Names from 'evals scorers'; default: the suite's."),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Pictures of each prompt and model.")] = 4,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only N prompts, spread over the suite.")] = None,
    base_seed: Annotated[int, typer.Option(metavar="N", help="Added to every seed: another one, other pictures.")] = 0,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="Give every model seeds of its own.")] = False,
    again: Annotated[
        Path | None, typer.Option("--again", metavar="FILE", help="Make a run again from its run.yaml.")
    ] = None,
    home: HomeOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = None,
    json: JsonOption = False,
) -> None:
    """Let models draw a suite with the same seeds, score the pictures, and write a report with intervals.

    What was drawn or scored before is not computed again, so a run that was stopped resumes by running it again.
    """
    from evals.reports import analyse, write_report
    from evals.running import run_suite
    from workbench.store.files import check_writable, make_folder

    plan = _plan(suite, models, scorers, seeds=seeds, base_seed=base_seed, unpaired=unpaired, again=again)
    chosen = plan.suite.limited(limit)
    make_folder(out)
    check_writable(out / "run.yaml")
    session = open_session(home, device, batch_size)
    _announce(session, chosen, plan)
    with progress("Drawing") as listen, _scoring() as told:
        done = run_suite(
            session, chosen, plan.contenders, seeds=plan.seeds, scorers=plan.scorers, base_seed=plan.base_seed,
            paired=plan.paired, listen=listen, told=told,
        )  # fmt: skip
    files = done.save(out)
    findings = analyse(done)
    files += write_report(done, out, findings)
    _tell(findings, files, json=json)


@guard
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that 'evals run --out' has written.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to; default: the same folder.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the report of a run again: HTML and Markdown."""
    from evals.reports import analyse, write_report
    from evals.running import load_run

    findings = analyse(load_run(folder))
    _tell(findings, write_report(findings.run, out or folder, findings), json=json)


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


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a run is made of, from options or from an earlier run."""

    suite: Suite
    contenders: Sequence[Contender]
    scorers: Sequence[str]
    seeds: int
    base_seed: int
    paired: bool


def _plan(
    suite: str | None,
    models: list[str] | None,
    names: list[str] | None,
    *,
    seeds: int,
    base_seed: int,
    unpaired: bool,
    again: Path | None,
) -> _Plan:
    from evals.running import RunError
    from evals.running.contenders import parse_contenders
    from evals.running.files import load_plan
    from evals.scorers import default_scorers
    from evals.suite import load_suite
    from workbench.recipe import DEFAULT_MODEL

    if again is not None:
        if suite or models:
            raise RunError("--again takes suite and models from the file.", "Leave SUITE and --models out.")
        old = load_plan(again)
        wanted = names or [each.name for each in old.scorers]
        return _Plan(old.suite, old.contenders, wanted, old.seeds, old.base_seed, old.paired)
    if suite is None:
        raise RunError("There is no suite to run.", "Name one; `evals suites` lists them.")
    loaded = load_suite(suite)
    contenders = parse_contenders(models or [DEFAULT_MODEL])
    return _Plan(loaded, contenders, names or default_scorers(loaded), seeds, base_seed, not unpaired)


def _announce(session: Any, suite: Suite, plan: _Plan) -> None:
    """What the run will cost, on stderr before it starts."""
    from evals.running import estimate_run

    found = estimate_run(
        session, suite, plan.contenders, seeds=plan.seeds, base_seed=plan.base_seed, paired=plan.paired
    )
    todo = found.unique - found.stored
    time = (
        "" if not todo else ", time not known yet" if found.seconds is None else f", about {_duration(found.seconds)}"
    )
    complain(
        f"{found.total:,} pictures: {found.stored:,} stored, {todo:,} to draw{time}; then {', '.join(plan.scorers)}."
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _scoring() -> Iterator[Told | None]:
    """A counter of scores on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return

    def told(done: int, total: int) -> None:
        sys.stderr.write(f"\rScored {done:,} of {total:,}" + ("\n" if done == total else ""))
        sys.stderr.flush()

    yield told


def _tell(findings: Findings, files: list[Path], *, json: bool) -> None:
    from evals.reports.findings import to_json
    from evals.reports.sentences import cautions, headline

    if json:
        print_json(to_json(findings) | {"files": [str(path) for path in files]})
        return
    for sentence in headline(findings):
        typer.echo(sentence)
    for caution in cautions(findings):
        complain(f"Note: {caution}")
    for path in files:
        typer.echo(path)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: an unbounded number is null."""
    return {k: None if isinstance(v, float) and v in (float("inf"), float("-inf")) else v for k, v in values.items()}
