"""`workbench prompts`: dynamic prompts, wildcards and templates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli._common import HomeOption, JsonOption, example, guard, print_json, print_table
from workbench.errors import RecipeError

if TYPE_CHECKING:
    from workbench.prompts import Templates, Wildcards

app = typer.Typer(
    help="Dynamic prompts, wildcard files, prompt lists and templates.",
    no_args_is_help=True,
    epilog=example("workbench prompts expand 'a {red|blue} circle'"),
)

RandomOption = Annotated[
    int | None, typer.Option("--random", metavar="N", min=1, help="Draw N prompts instead of making all combinations.")
]
SeedOption = Annotated[int, typer.Option("--prompt-seed", metavar="N", help="Seed of the draw.")]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Refuse to make more prompts than this.")]


@app.command(
    "expand",
    epilog=example(
        "workbench prompts expand 'a {red|blue} {circle|star}'",
        "workbench prompts expand 'a {3::red|blue} __shape__' --random 5 --prompt-seed 7",
        "workbench prompts expand --file prompts.txt --json",
    ),
)
@guard
def expand(
    *,
    text: Annotated[str | None, typer.Argument(metavar="PROMPT", help="The dynamic prompt.")] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="A list of them instead.")] = None,
    random: RandomOption = None,
    seed: SeedOption = 0,
    limit: LimitOption = 1000,
    template: Annotated[
        str | None, typer.Option("--template", metavar="NAME", help="Put each inside it first.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print the prompts that a dynamic prompt stands for, one a line."""
    from workbench.prompts import DynamicPromptError, read_prompts
    from workbench.prompts import expand as expand_prompt

    if (text is None) == (file is None):
        raise RecipeError("Nothing or too much to expand.", "Give a prompt, or --file with a list of them.")
    texts = [text] if text is not None else read_prompts(file or "")
    if template is not None:
        chosen = templates_of(home)[template]
        texts = [chosen.apply(each)[0] for each in texts]
    found: list[str] = []
    for each in texts:
        found += expand_prompt(
            each,
            mode="random" if random else "all",
            number=random,
            seed=seed,
            wildcards=wildcards_of(home),
            limit=limit,
        )
        if len(found) > limit:
            raise DynamicPromptError(f"The list stands for more than {limit} prompts.", "Raise the limit.")
    if json:
        print_json(found)
    else:
        typer.echo("\n".join(" ".join(each.split()) if "\n" in each else each for each in found))


@app.command("wildcards", epilog=example("workbench prompts wildcards"))
@guard
def list_wildcards(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the wildcards in $WORKBENCH_HOME/wildcards."""
    wildcards = wildcards_of(home)
    rows = [{"name": name, "lines": len(wildcards.lines(name))} for name in wildcards.names()]
    if json:
        print_json(rows)
    elif rows:
        print_table(["name", "lines"], [(row["name"], row["lines"]) for row in rows])
    else:
        typer.echo(f"There are none in {wildcards.folder}.")


@app.command(
    "templates",
    epilog=example(
        "workbench prompts templates",
        "workbench prompts templates --import styles.csv",
        "workbench prompts templates --export for_invokeai.json",
    ),
)
@guard
def templates(
    *,
    source: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Add those of a .csv, .json or .yaml file.")
    ] = None,
    target: Annotated[Path | None, typer.Option("--export", metavar="FILE", help="Write all to a file.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List, import or export prompt templates; a template of the same name is replaced."""
    from workbench.prompts import Templates
    from workbench.prompts.templates import FILE
    from workbench.settings import settings
    from workbench.store.files import make_folder

    folder = settings(home=home).home
    found = templates_of(home)
    if source is not None:
        found = found.merged(Templates.read(source))
        make_folder(folder)
        found.write(folder / FILE)
    if target is not None:
        found.write(target)
    if json:
        print_json([template.model_dump() for template in found.values()])
    elif found:
        print_table(
            ["name", "prompt", "negative prompt"], [tuple(each.model_dump().values()) for each in found.values()]
        )
    else:
        typer.echo("There are no templates.")


def wildcards_of(home: Path | None) -> Wildcards:
    """The wildcards of the home folder."""
    from workbench.prompts import Wildcards
    from workbench.prompts.wildcards import FOLDER
    from workbench.settings import settings

    return Wildcards(settings(home=home).home / FOLDER)


def templates_of(home: Path | None) -> Templates:
    """The templates of the home folder; none where there is no file."""
    from workbench.prompts import Templates
    from workbench.prompts.templates import FILE
    from workbench.settings import settings

    path = settings(home=home).home / FILE
    return Templates.read(path) if path.is_file() else Templates()
