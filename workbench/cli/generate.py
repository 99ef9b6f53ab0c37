"""`workbench generate`: one picture."""

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
from workbench.cli._recipe_options import parse_fields, recipe_options
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
    again: Annotated[bool, typer.Option("--again", help="Make the picture even when the store has it.")] = False,
    home: HomeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Make one picture and print where it is.

    A picture that the store has is not made again. With --out it is in the store as well.
    """
    from workbench.store import check_writable, write_atomically

    recipe = _read(file) if file else Recipe()
    recipe = recipe.replace(**parse_fields(fields, assignments or []))
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
