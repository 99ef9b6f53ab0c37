"""`workbench gallery trash`: what was deleted and can come back."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli._common import HomeOption, JsonOption, example, guard
from workbench.cli._gallery import (
    LimitOption,
    PicturesArgument,
    QueryOption,
    open_gallery,
    print_page,
    say,
    selected,
)

trash = typer.Typer(
    name="trash",
    help="What was deleted and can come back.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=example("workbench gallery trash list"),
)


@trash.command("list", epilog=example("workbench gallery trash list"))
@guard
def trash_list(limit: LimitOption = 20, home: HomeOption = None, json: JsonOption = False) -> None:
    """List what is in the trash."""
    print_page(open_gallery(home), "is:trash", limit, json=json)


@trash.command(
    "restore", epilog=example("workbench gallery trash restore 3f9ab1", "workbench gallery trash restore --all")
)
@guard
def trash_restore(
    pictures: PicturesArgument = None,
    query: QueryOption = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is there.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take pictures out of the trash."""
    gallery = open_gallery(home)
    chosen = gallery.digests("is:trash") if every else selected(gallery, pictures, query and f"is:trash ({query})")
    say(json, "restored", gallery.restore(chosen))


@trash.command("empty", epilog=example("workbench gallery trash empty --yes"))
@guard
def trash_empty(
    yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Delete for good what is in the trash."""
    gallery = open_gallery(home)
    count = gallery.search("is:trash", limit=0).total
    if count and not yes and not typer.confirm(f"Delete {count} pictures for good?", err=True):
        raise typer.Exit(1)
    say(json, "deleted for good", gallery.empty_trash())
