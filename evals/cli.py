"""The command line: `evals COMMAND`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals import commands, run_command
from evals.arena import cli as arena_cli
from evals.tune import cli as tune_cli
from workbench import __version__
from workbench.cli._common import (
    CHECK_FAILED,
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
    from evals.scenes.read import Reader

app = typer.Typer(
    name="evals",
    help="Judge pictures by their pixels, and models by their pictures.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evals {__version__}")
        raise typer.Exit


@app.callback(epilog=example("evals nano --limit 20 --out report", "evals judge circle.png"))
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Judge pictures by their pixels, and models by their pictures."""


@app.command(epilog=example("evals nano --model klein-nano-base --out report"))
@guard
def nano(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the report; made when absent.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Model name in the catalog, or a diffusers folder.")
    ] = "klein-nano-base",
    suite: Annotated[str, typer.Option(metavar="SUITE", help="Name of a shipped suite, or a JSON file.")] = "nano-1",
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only N prompts, spread over the kinds.")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Denoising steps; default: the model's.")] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(metavar="X", help="Guidance scale; default: the model's.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the pictures, and of the draw for the sheet.")] = 0,
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="Read words by OCR (needs the extra evals).")
    ] = True,
    home: HomeOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = None,
    json: JsonOption = False,
) -> None:
    """Make the pictures of held-out scene prompts, judge them, and write a report.

    Pictures that the store has are not made again.
    """
    from evals.report import summary, write_report
    from evals.run import evaluate
    from evals.suite import load_suite
    from workbench.store.files import check_writable, make_folder

    chosen = load_suite(suite).limited(limit)
    make_folder(out)
    check_writable(out / "summary.json")
    reader = _reader() if words else None
    session = open_session(home, device, batch_size)
    with progress(f"{len(chosen.prompts)} pictures") as listen:
        evaluation = evaluate(
            session, chosen, seed=seed, reader=reader, listen=listen,
            model=model, steps=steps, guidance_scale=guidance_scale,
        )  # fmt: skip
    files = write_report(evaluation, out, seed=seed)
    figures = summary(evaluation)
    if json:
        print_json(figures | {"files": [str(path) for path in files]})
        return
    print_table(
        ("skill", "right", "of", "share", "95 % Wilson", "meaning"), [_line(skill) for skill in figures["skills"]]
    )
    reading = f", words read by {evaluation.reader}" if evaluation.reader else ", words not read"
    typer.echo(f"{chosen.name} version {chosen.version}, judge version {evaluation.judge}{reading}; higher is better.")
    for failure in figures["failed"]:
        complain(f"Failed: {failure['id']}: {failure['error']}")
    for path in files:
        typer.echo(path)


def _line(skill: dict[str, Any]) -> tuple[object, ...]:
    interval = f"{100 * skill['low']:.1f} to {100 * skill['high']:.1f} %"
    return skill["name"], skill["right"], skill["n"], f"{100 * skill['value']:.1f} %", interval, skill["about"]


@app.command(epilog=example("evals judge circle.png --prompt 'a red circle on a white background'"))
@guard
def judge(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A picture.")],
    *,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What it should show; default: the prompt kept in the file.")
    ] = None,
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="Read words by OCR (needs the extra evals).")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Judge one picture by its pixels. Exits with 1 when a check fails."""
    from evals.files import open_picture
    from evals.scenes.judge import judge as judge_picture
    from evals.scenes.prompt import parse
    from evals.scenes.verdict import asked

    picture, sentence = open_picture(file, prompt)
    expected = parse(sentence)
    reader = _reader() if words and expected.words else None
    verdict = judge_picture(picture, sentence, reader=reader)
    if json:
        print_json(verdict.to_dict())
    else:
        marks = {True: "right", False: "wrong", None: "not judged"}
        rows = [(name, marks[(c := verdict.checks[name]).ok], c.seen, c.why) for name in asked(expected)]
        typer.echo(sentence)
        print_table(("check", "verdict", "seen", "why"), rows)
    if verdict.right is False:
        raise typer.Exit(CHECK_FAILED)


@app.command(epilog=example("evals suites --json"))
@guard
def suites(json: JsonOption = False) -> None:
    """List the suites that come with the package, and the public files that can be read."""
    from evals.loaders import loaders
    from evals.suite import load_suite, suite_names

    found = [load_suite(name) for name in suite_names()]
    formats = loaders()
    if json:
        listed = [each.model_dump(mode="json", exclude={"prompts"}) | {"prompts": len(each.prompts)} for each in found]
        public = [
            {"name": e.name, "about": e.about, "licence": e.licence, "folder": e.folder} for e in formats.values()
        ]
        print_json({"suites": listed, "formats": public})
        return
    print_table(("name", "version", "prompts", "about"), [(s.name, s.version, len(s.prompts), s.about) for s in found])
    if formats:
        typer.echo("\nPublic files, as FORMAT:PATH:")
        print_table(("format", "licence", "about"), [(e.name, e.licence or "none", e.about) for e in formats.values()])


app.command(
    cls=run_command.ManyValues,
    epilog=example(
        "evals run nano-1 --models klein-nano-base klein-nano-base,steps=8 --seeds 2 --out run",
        "evals run geneval:evaluation_metadata.jsonl --models big.yaml --scorers geneval-owlv2 --out run",
    ),
)(run_command.run)
app.command(epilog=example("evals report run"))(commands.report)
app.command(epilog=example("evals compare old-run new-run --gate"))(commands.compare)
app.command(epilog=example("evals scorers --json"))(commands.scorers)
app.command(epilog=example("evals power --spread 0.3 --difference 0.05", "evals power run --prompts 500"))(
    commands.power
)
app.add_typer(arena_cli.app)
app.command("tune", epilog=tune_cli.EPILOG)(tune_cli.tune_command)


def _reader() -> Reader:
    from evals.scenes.read import RapidReader

    return RapidReader()


def main() -> None:
    """Entry point of the console script."""
    app()
