"""`workbench gallery star`, `tag`, `tags`, `note`: what people say of pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli._common import HomeOption, JsonOption, guard
from workbench.cli._gallery import PicturesArgument, QueryOption, open_gallery, print_counts, say, selected
from workbench.errors import WorkbenchError


@guard
def star(
    pictures: PicturesArgument = None,
    query: QueryOption = None,
    off: Annotated[bool, typer.Option("--off", help="Take the stars away.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Star pictures."""
    gallery = open_gallery(home)
    count = gallery.star(selected(gallery, pictures, query), not off)
    say(json, "without star" if off else "starred", count)


@guard
def tag(
    pictures: PicturesArgument = None,
    *,
    query: QueryOption = None,
    add: Annotated[list[str] | None, typer.Option("--add", "-a", metavar="TAG", help="Give this tag.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", "-r", metavar="TAG", help="Take this tag.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Give pictures tags, or take them."""
    if not add and not remove:
        raise WorkbenchError("There is no tag to give or take.", "Use --add TAG or --remove TAG.")
    gallery = open_gallery(home)
    digests = selected(gallery, pictures, query)
    if add:
        gallery.tag(digests, *add)
    if remove:
        gallery.untag(digests, *remove)
    say(json, "tagged", len(digests))


@guard
def tags(home: HomeOption = None, json: JsonOption = False) -> None:
    """List all tags."""
    print_counts(open_gallery(home).tags(), "tag", json)


@guard
def note(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="First digits of the digest.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note; empty takes it away.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a note on a picture."""
    gallery = open_gallery(home)
    say(json, "noted", gallery.note([gallery.find(picture)], text))
