"""`workbench generate --dynamic`: one recipe whose prompt stands for many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from workbench.cli._common import complain, open_session, print_json, progress
from workbench.cli.prompts import templates_of, wildcards_of
from workbench.recipe import Recipe


def in_template(recipe: Recipe, name: str | None, home: Path | None) -> Recipe:
    """The recipe with its prompts inside the template called `name`."""
    return recipe if name is None else templates_of(home)[name].recipe(recipe)


def variants(
    recipe: Recipe,
    home: Path | None,
    *,
    random: int | None,
    seed: int,
    limit: int,
    prompts: Path | None,
    template: str | None,
) -> list[Recipe]:
    """One recipe for every prompt that the recipe's prompt, or those of the file `prompts`, stand for."""
    from workbench.prompts import DynamicPromptError, expand, read_prompts

    texts = [recipe.prompt] if prompts is None else read_prompts(prompts)
    framed = [in_template(recipe.replace(prompt=text), template, home) for text in texts]  # both may hold choices
    found: list[str] = []
    for each in framed:
        found += expand(
            each.prompt,
            mode="random" if random else "all",
            number=random,
            seed=seed,
            wildcards=wildcards_of(home),
            limit=limit,
        )
        if len(found) > limit:
            raise DynamicPromptError(f"The list stands for more than {limit} prompts.", "Raise the limit.")
    return [framed[0].replace(prompt=text) for text in found]  # all have the same negative prompt


def generate_all(recipes: list[Recipe], home: Path | None, device: str | None, *, again: bool, json: bool) -> None:
    """Make all, print where each is; a picture that fails is told, and the rest goes on."""
    session = open_session(home, device)
    rows: list[dict[str, Any]] = []
    failed = 0
    with progress("Generating") as listen:
        for result in session.run(recipes, listen=listen, again=again):
            row: dict[str, Any] = {
                "index": result.index,
                "prompt": recipes[result.index].prompt,
                "digest": result.digest,
            }
            row["path"] = None if result.error else str(session.store.path(result.digest))
            row["error"] = str(result.error) if result.error else None
            rows.append(row)
            if result.error is not None:
                failed += 1
                complain(f"Error: {row['prompt'][:60]!r}: {result.error}")
    rows.sort(key=lambda row: row["index"])
    if json:
        print_json(rows)
    else:
        for row in rows:
            if row["path"]:
                typer.echo(row["path"])
    if failed:
        raise typer.Exit(1)
