"""`workbench generate`: one picture, or one of every prompt that a dynamic prompt stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli._common import (
    DeviceOption,
    HomeOption,
    JsonOption,
    complain,
    guard,
    open_session,
    print_json,
    progress,
)
from workbench.cli._dynamic import generate_all, in_template, variants
from workbench.cli._recipe_options import parse_fields, recipe_options
from workbench.cli.prompts import LimitOption, RandomOption, SeedOption
from workbench.errors import RecipeError, StoreError
from workbench.recipe import Recipe


@recipe_options
@guard
def generate(
    *,
    fields: dict[str, Any],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.png", help="Write here (replacing); default: the store.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set any recipe field; repeatable. See `workbench fields`."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE.yaml", help="Start from this recipe; options replace it.")
    ] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="The prompt stands for many: {a|b}, __wildcard__; make a picture of each.")
    ] = False,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="A list of prompts, each one dynamic.")
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", metavar="NAME", help="Put the prompts inside this template.")
    ] = None,
    random: RandomOption = None,
    prompt_seed: SeedOption = 0,
    limit: LimitOption = 1000,
    again: Annotated[bool, typer.Option("--again", help="Make the picture even when the store has it.")] = False,
    home: HomeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Make one picture and print where it is, or with --dynamic one of every prompt.

    A picture that the store has is not made again. With --out it is in the store as well.
    """
    from workbench.store import check_writable, write_atomically

    recipe = _read(file) if file else Recipe()
    recipe = recipe.replace(**parse_fields(fields, assignments or []))
    if dynamic or prompts is not None:
        if out is not None:
            raise StoreError("Several pictures have no single file.", "Leave --out out; the paths are printed.")
        many = variants(recipe, home, random=random, seed=prompt_seed, limit=limit, prompts=prompts, template=template)
        generate_all(many, home, device, again=again, json=json)
        return
    recipe = in_template(recipe, template, home)
    if out is not None:
        if out.suffix.lower() != ".png":
            raise StoreError(f"Cannot write {str(out)!r}: pictures are PNG files.", "End the name in .png.")
        check_writable(out)
    session = open_session(home, device)
    with progress("Generating") as listen:
        result = session.generate(recipe, listen=listen, again=again)
    for warning in (*result.warnings, *result.fallbacks):
        complain(f"Warning: {warning}")
    path = session.store.path(result.digest)
    if out is not None:
        write_atomically(out, path.read_bytes())
        path = out
    if json:
        print_json(_describe(result, path))
    else:
        typer.echo(path)


def _read(file: Path) -> Recipe:
    try:
        return Recipe.from_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"Cannot read the recipe {str(file)!r}: {error}.", "Check the path.") from None


def _describe(result: Any, path: Path) -> dict[str, Any]:
    return {
        "path": str(path),
        "digest": result.digest,
        "reused": result.reused,
        "recipe": result.resolved.recipe.model_dump(mode="json"),
        "weights": result.resolved.weights,
        "seconds": result.seconds,
        "peak_bytes": result.peak_bytes,
        "environment": result.environment,
        "warnings": list(result.warnings),
        "fallbacks": list(result.fallbacks),
    }
