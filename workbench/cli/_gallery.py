"""What the commands of `workbench gallery` share: which pictures are meant, and how they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli._common import complain, print_json, print_table, progress
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.store.entries import Entry
    from workbench.store.gallery import Gallery

PicturesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="PICTURE", help="First digits of digests, 4 at least.")
]
QueryOption = Annotated[
    str | None, typer.Option("--query", "-q", metavar="QUERY", help="All pictures that a query finds.")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=100_000, help="At most N.")]
SortOption = Annotated[
    str, typer.Option("--sort", metavar="FIELD", help="A field or score.NAME; -FIELD for the largest first.")
]


def open_gallery(home: Path | None) -> Gallery:
    """The gallery of a home; no model is loaded for it."""
    from workbench.settings import settings
    from workbench.store import Store
    from workbench.store.gallery import Gallery

    chosen = settings(home=home)
    return Gallery(Store(chosen.home, chosen.database))


def selected(gallery: Gallery, pictures: Sequence[str] | None, query: str | None) -> list[str]:
    """Whole digests of what was named, or of what the query finds."""
    if bool(pictures) == (query is not None):
        raise WorkbenchError("It is not said which pictures.", "Name some by their first digits, or use --query.")
    if query is not None:
        return gallery.digests(query)
    return [gallery.find(each) for each in pictures or ()]


def print_page(
    gallery: Gallery, query: str, limit: int, offset: int = 0, sort: str = "-created", *, json: bool
) -> None:
    """What a query finds, as a table or JSON; a mistake in it with a caret under its place."""
    from workbench.store.errors import QueryError

    try:
        page = gallery.search(query, limit=limit, offset=offset, sort=sort)
    except QueryError as error:
        if not json and "\n" not in error.query:
            typer.echo(error.pointer, err=True)
        raise
    if json:
        print_json(
            {"total": page.total, "offset": page.offset, "pictures": [entry.to_dict() for entry in page.entries]}
        )
        return
    print_table(["created", "digest", "", "model", "seed", "marks", "prompt"], [_row(entry) for entry in page.entries])
    if page.total > len(page.entries):
        complain(f"{len(page.entries)} of {page.total}; --limit and --offset show others.")


def _row(entry: Entry) -> tuple[object, ...]:
    return (
        entry.created.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        entry.digest[:12],
        "★" if entry.starred else "",
        entry.recipe.model,
        entry.recipe.seed,
        ", ".join([*entry.tags, *(f"[{board}]" for board in entry.boards)]),
        " ".join(entry.recipe.prompt.split()),
    )


def say(json: bool, what: str, count: int, **more: str) -> None:
    """How many pictures something was done to."""
    if json:
        print_json({"pictures": count} | more)
    else:
        typer.echo(" ".join([f"{count} {'picture' if count == 1 else 'pictures'} {what}", *more.values()]))


def print_counts(found: dict[str, int], name: str, json: bool) -> None:
    """Tags or boards with the number of their pictures."""
    if json:
        print_json([{name: each, "pictures": count} for each, count in found.items()])
    else:
        print_table([name, "pictures"], list(found.items()))


@contextmanager
def counter(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar that counts pictures, on a terminal only."""
    from workbench.engine.events import Finished, Planned

    with progress(label) as listen:
        if listen is None:
            yield None
            return

        def told(done: int, total: int) -> None:
            listen(Planned(total, total, 1))
            listen(Finished("", done, total, None))

        yield told
