"""`workbench recall`: the recipe in a picture's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli._common import HomeOption, JsonOption, complain, guard, print_json
from workbench.errors import ModelError, RecipeError, nearest

if TYPE_CHECKING:
    from workbench.metadata import Recalled


@guard
def recall(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A PNG, JPEG or WebP file as the tool wrote it.")],
    yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the recipe as YAML, with what is missing as comments.")
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Use this model, whatever the metadata says.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Read how a picture was made: by the workbench, InvokeAI, AUTOMATIC1111 and its forks, SwarmUI or ComfyUI.

    The recipe goes to stdout; what could not be carried over is listed with its reason. No model is loaded.
    """
    from dataclasses import replace

    from workbench.metadata import recall as read
    from workbench.models.catalog import ModelCatalog
    from workbench.settings import settings

    if yaml and json:
        raise RecipeError("--yaml and --json are two forms of the same.", "Give one of them.")
    chosen = settings(home=home)
    catalog = ModelCatalog(chosen.home, chosen.models, device="cpu")
    found = read(file, catalog=catalog)
    if model is not None:
        names = [each.name for each in catalog.models()]
        if model not in names and not Path(model).is_dir():
            raise ModelError(f"There is no model {model!r}.", nearest(model, names))
        found = replace(found, recipe=found.recipe.replace(model=model))
    if json:
        print_json(found.as_json())
    elif yaml:
        typer.echo(found.to_yaml(), nl=False)
    else:
        _print(found)


def _print(found: Recalled) -> None:
    typer.echo(found.recipe.to_yaml(), nl=False)
    complain(f"Read from the metadata of {found.source}.")
    for note in found.notes:
        complain(f"Note: {note}")
    for part in found.left_out:
        complain(f"Left out: {part}.")
