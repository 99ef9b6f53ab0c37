"""`workbench gallery board`: named collections of pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli._common import HomeOption, JsonOption, example, guard, print_json
from workbench.cli._gallery import PicturesArgument, QueryOption, open_gallery, print_counts, say, selected

boards = typer.Typer(
    name="board",
    help="Boards: named collections of pictures.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=example("workbench gallery board add winners 3f9ab1"),
)


@boards.command("list", epilog=example("workbench gallery board list"))
@guard
def board_list(home: HomeOption = None, json: JsonOption = False) -> None:
    """List all boards."""
    print_counts(open_gallery(home).boards(), "board", json)


@boards.command(
    "add", epilog=example("workbench gallery board add winners 3f9ab1 77c0", "workbench gallery board add new")
)
@guard
def board_add(
    name: Annotated[str, typer.Argument(metavar="BOARD", help="The board; made when there is none.")],
    pictures: PicturesArgument = None,
    query: QueryOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Put pictures on a board; without any, make an empty one."""
    gallery = open_gallery(home)
    if not pictures and query is None:
        from workbench.store.marks import make_board

        make_board(gallery.store, name)
        say(json, "put on the board", 0)
        return
    say(json, "put on the board", gallery.board(selected(gallery, pictures, query), name))


@boards.command("take", epilog=example("workbench gallery board take winners 3f9ab1"))
@guard
def board_take(
    name: Annotated[str, typer.Argument(metavar="BOARD", help="The board.")],
    pictures: PicturesArgument = None,
    query: QueryOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take pictures off a board."""
    gallery = open_gallery(home)
    say(json, "taken off the board", gallery.unboard(selected(gallery, pictures, query), name))


@boards.command("rename", epilog=example("workbench gallery board rename winners finalists"))
@guard
def board_rename(
    name: Annotated[str, typer.Argument(metavar="BOARD", help="The board.")],
    new: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Give a board another name."""
    from workbench.store.marks import rename_board

    rename_board(open_gallery(home).store, name, new)
    print_json({"board": new}) if json else typer.echo(f"renamed to {new}")


@boards.command("remove", epilog=example("workbench gallery board remove winners"))
@guard
def board_remove(
    name: Annotated[str, typer.Argument(metavar="BOARD", help="The board.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Remove a board; its pictures stay."""
    from workbench.store.marks import remove_board

    remove_board(open_gallery(home).store, name)
    print_json({"board": name}) if json else typer.echo(f"removed {name}; its pictures stay")
