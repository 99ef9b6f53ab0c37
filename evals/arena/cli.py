"""The commands `evals arena make` and `evals arena results`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli._common import JsonOption, example, guard, print_json, print_table

app = typer.Typer(
    name="arena",
    help="Compare pictures blindly: make a contest, and read its votes. Votes are given in a notebook.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=example("evals arena make base=pictures/base tuned=pictures/tuned --out contest"),
)


@app.command(
    epilog=example("evals arena make base=pictures/base tuned=pictures/tuned --out contest --limit 60 --repeats 6")
)
@guard
def make(
    contenders: Annotated[
        list[str], typer.Argument(metavar="NAME=FOLDER", help="Two or more; files of the same name meet.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the contest; made when absent.")],
    question: Annotated[str | None, typer.Option(metavar="TEXT", help="What the raters are asked.")] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Stands over the results.")] = "",
    limit: Annotated[int | None, typer.Option(metavar="N", help="Comparisons per rater; default: all.")] = None,
    repeats: Annotated[int, typer.Option(metavar="N", help="Comparisons shown twice, sides swapped.")] = 0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of choice, order and sides.")] = 0,
    json: JsonOption = False,
) -> None:
    """Make a contest of folders of pictures. Raters open it in a notebook: ArenaPanel(DIR, rater="NAME")."""
    from evals.arena.contest import QUESTION, ArenaError
    from evals.arena.sources import from_folders

    given: dict[str, str] = {}
    for text in contenders:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder) or name in given:
            raise ArenaError(f"{text!r} names no contender of its own.", "Write NAME=FOLDER, each name once.")
        given[name] = folder
    contest = from_folders(
        given, out, title=title, question=question or QUESTION, seed=seed, limit=limit, repeats=repeats
    )  # fmt: skip
    facts = {
        "folder": str(out.absolute()), "contenders": list(contest.contenders), "items": len(contest.items),
        "comparisons": len(contest.comparisons), "missing": len(contest.missing), "identical": contest.identical,
    }  # fmt: skip
    if json:
        print_json(facts)
        return
    typer.echo(
        f"{facts['comparisons']} comparisons of {len(contest.contenders)} contenders on {facts['items']} prompts; "
        f"{facts['missing']} pictures missing, {facts['identical']} pairs of equal pictures left out."
    )
    typer.echo(f'In a notebook: from evals.panels import ArenaPanel; ArenaPanel("{out}", rater="YOU")')


@app.command(epilog=example("evals arena results contest --out contest/results"))
@guard
def results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a contest.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write votes and ratings there: CSV, Parquet, JSON."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Ratings of all votes of all raters, with intervals, and how far the raters agree."""
    from evals.arena.contest import open_contest
    from evals.arena.files import export
    from evals.arena.result import results as rate
    from evals.arena.words import sentences

    contest = open_contest(folder)
    found = rate(contest)
    files = export(contest, out, found) if out is not None else []
    if json:
        print_json(found.to_dict() | {"files": [str(path) for path in files]})
        return
    rows = [
        (each.contender, round(each.rating), f"{each.low:.0f} to {each.high:.0f}", each.wins, each.ties, each.losses)
        for each in found.ratings
    ]
    print_table(("contender", "rating", "95 % interval", "won", "tied", "lost"), rows)
    for sentence in sentences(found):
        typer.echo(sentence)
    for path in files:
        typer.echo(path)
