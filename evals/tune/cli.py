"""The command `evals tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli._common import (
    BatchOption,
    DeviceOption,
    HomeOption,
    JsonOption,
    complain,
    example,
    guard,
    open_session,
    print_json,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from evals.tune.result import Trial, TuneResult
    from evals.tune.search import TuneEstimate

EPILOG = example(
    "evals tune docs/examples/tune_guidance.yaml --out tuned --dry-run",
    "evals tune docs/examples/tune_guidance.yaml --out tuned",
    "evals tune tuned/space.yaml --out tuned",
)


@guard
def tune_command(
    file: Annotated[Path, typer.Argument(metavar="SPACE.yaml", help="What to search; see docs/tune.md.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the search and its report.")],
    trials: Annotated[int | None, typer.Option(metavar="N", help="Instead of the file's number of trials.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and say what it costs.")] = False,
    home: HomeOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = None,
    json: JsonOption = False,
) -> None:
    """Search recipe fields for the best score, and compare the winner with the default on new prompts.

    A search that was stopped goes on; a finished one computes nothing when it is run again.
    """
    from evals.tune.search import estimate_tune, tune
    from evals.tune.space import load_space
    from workbench.store.files import check_writable, make_folder

    space = load_space(file)
    if trials is not None:
        space = type(space).parse(space.model_dump(mode="json", exclude_defaults=True) | {"trials": trials})
    session = open_session(home, device, batch_size)
    estimate = estimate_tune(session, space)
    if dry_run:
        _print_estimate(estimate, json)
        return
    make_folder(out)
    check_writable(out / "report.html")
    complain(_cost(estimate))

    def tell(trial: Trial) -> None:
        value = trial.error or f"objective {trial.means['objective']:.4f} on {trial.prompts} prompts, {trial.state}"
        settings = ", ".join(f"{name} {value}" for name, value in trial.params.items())
        complain(f"trial {trial.number + 1} of {space.trials}: {settings}: {value}")

    with progress("pictures") as listen:
        result = tune(session, space, out, listen=listen, tell=tell)
    files = result.save(out)
    if json:
        print_json(_told(result) | {"files": [str(path) for path in files]})
        return
    rows = [
        (each.name, f"{each.best.value:.4f}", f"{each.default.value:.4f}", f"{each.difference.value:+.4f}",
         f"{each.difference.low:+.4f} to {each.difference.high:+.4f}", f"{each.difference.p_adjusted:.3f}")
        for each in result.compared
    ]  # fmt: skip
    print_table(("measure", "winner", "default", "difference", "95 % interval", "p"), rows)
    typer.echo(result.sentence)
    for path in files:
        typer.echo(path)


def _cost(estimate: TuneEstimate) -> str:
    from workbench.grid.run import format_seconds

    time = "" if estimate.seconds is None else f", at most {format_seconds(estimate.seconds)} of drawing"
    return (
        f"At most {estimate.pictures:,} pictures{time}; {estimate.search} prompts for the search, "
        f"{estimate.held_out} held out."
    )


def _print_estimate(estimate: TuneEstimate, json: bool) -> None:
    if json:
        from dataclasses import asdict

        print_json(asdict(estimate))
    else:
        typer.echo(_cost(estimate))


def _told(result: TuneResult) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "sentence": result.sentence,
        "best": asdict(result.best),
        "default": result.default,
        "compared": [asdict(each) for each in result.compared],
        "recipe": result.recipe.model_dump(mode="json", exclude_defaults=True),
        "trials": len(result.trials),
        "notes": list(result.notes),
    }
