"""The command `evals run`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from workbench.cli._common import (
    BatchOption,
    DeviceOption,
    HomeOption,
    JsonOption,
    complain,
    guard,
    open_session,
    print_json,
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
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the run and its report.")],
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
    tell(findings, files, json=json)


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


def tell(findings: Findings, files: list[Path], *, json: bool) -> None:
    """What a run showed, what weakens it, and its files."""
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
