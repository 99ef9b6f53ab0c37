"""`workbench gallery`: find, mark, compare, export and delete pictures of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli._common import (
    HomeOption,
    JsonOption,
    complain,
    example,
    guard,
    print_json,
    print_table,
    progress,
)
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.store.entries import Entry
    from workbench.store.gallery import Gallery

app = typer.Typer(
    name="gallery",
    help="Find, mark, compare, export and delete pictures.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: workbench gallery search 'prompt:star steps>=8'",
)
boards = typer.Typer(help="Boards: named collections of pictures.", no_args_is_help=True, rich_markup_mode=None)
trash = typer.Typer(help="What was deleted and can come back.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(boards, name="board")
app.add_typer(trash, name="trash")

PicturesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[PICTURE]...", help="First digits of digests, 4 at least.")
]
QueryOption = Annotated[
    str | None, typer.Option("--query", "-q", metavar="QUERY", help="All pictures that a query finds.")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many.")]
SortOption = Annotated[
    str, typer.Option("--sort", metavar="FIELD", help="A field or score.NAME; -FIELD for the largest first.")
]


@app.command("list", epilog=example("workbench gallery list --limit 5", "workbench gallery list --json"))
@guard
def list_(limit: LimitOption = 20, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the newest pictures."""
    _print(_gallery(home), "", limit, json=json)


@app.command(
    epilog=example(
        "workbench gallery search 'model:klein steps>=8 \"red circle\" -star'",
        "workbench gallery search 'score.scene>0.5 created>7d' --sort -score.scene",
        "workbench gallery search 'tag:good or star' --json",
    )
)
@guard
def search(
    query: Annotated[str, typer.Argument(help="Words, FIELD:VALUE, FIELD>=VALUE, -not, or; see docs/gallery.md.")],
    *,
    limit: LimitOption = 20,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Skip so many.")] = 0,
    sort: SortOption = "-created",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Search in everything that recipes, marks and scores say."""
    _print(_gallery(home), query, limit, offset, sort, json=json)


@app.command(epilog=example("workbench gallery show 3f9ab1", "workbench gallery show 3f9ab1 --json"))
@guard
def show(
    picture: Annotated[str, typer.Argument(help="First digits of the digest.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one picture: recipe, marks, scores, and where it comes from."""
    gallery = _gallery(home)
    lineage = gallery.lineage(gallery.find(picture))
    if json:
        print_json(lineage.entry.to_dict() | {"lineage": lineage.to_dict()})
        return
    entry = lineage.entry
    rows: dict[str, Any] = {
        "digest": entry.digest,
        "file": entry.path,
        "created": entry.created.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "seconds": f"{entry.seconds:.2f}",
        "star": "yes" if entry.starred else "",
        "tags": ", ".join(entry.tags),
        "boards": ", ".join(entry.boards),
        "note": entry.note,
        **{f"score.{name}": f"{value:.4g}" for name, value in entry.scores.items()},
        "in the trash": entry.trashed.astimezone().strftime("since %Y-%m-%d %H:%M:%S") if entry.trashed else "",
    }
    for name, value in rows.items():
        if value != "":
            typer.echo(f"{name + ':':14} {value}")
    typer.echo(f"\n{entry.recipe.to_yaml()}\n{lineage.to_text()}")


@app.command(epilog=example("workbench gallery star 3f9ab1", "workbench gallery star --query 'score.scene>0.9'"))
@guard
def star(
    pictures: PicturesArgument = None,
    query: QueryOption = None,
    off: Annotated[bool, typer.Option("--off", help="Take the stars away.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Star pictures."""
    gallery = _gallery(home)
    count = gallery.star(_selected(gallery, pictures, query), not off)
    _said(json, "without star" if off else "starred", count)


@app.command(epilog=example("workbench gallery tag 3f9ab1 --add good --remove later"))
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
    gallery = _gallery(home)
    digests = _selected(gallery, pictures, query)
    if add:
        gallery.tag(digests, *add)
    if remove:
        gallery.untag(digests, *remove)
    _said(json, "tagged", len(digests))


@app.command(epilog=example("workbench gallery tags"))
@guard
def tags(home: HomeOption = None, json: JsonOption = False) -> None:
    """List all tags."""
    _counts(_gallery(home).tags(), "tag", json)


@app.command(epilog=example("workbench gallery note 3f9ab1 'the word is misspelt'", "workbench gallery note 3f9ab1 ''"))
@guard
def note(
    picture: Annotated[str, typer.Argument(help="First digits of the digest.")],
    text: Annotated[str, typer.Argument(help="The note; empty takes it away.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a note on a picture."""
    gallery = _gallery(home)
    _said(json, "noted", gallery.note([gallery.find(picture)], text))


@boards.command("list", epilog=example("workbench gallery board list"))
@guard
def board_list(home: HomeOption = None, json: JsonOption = False) -> None:
    """List all boards."""
    _counts(_gallery(home).boards(), "board", json)


@boards.command(
    "add", epilog=example("workbench gallery board add winners 3f9ab1 77c0", "workbench gallery board add new")
)
@guard
def board_add(
    name: Annotated[str, typer.Argument(help="The board; made when there is none.")],
    pictures: PicturesArgument = None,
    query: QueryOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Put pictures on a board; without any, make an empty one."""
    gallery = _gallery(home)
    if not pictures and query is None:
        from workbench.store.marks import make_board

        make_board(gallery.store, name)
        _said(json, "put on the board", 0)
        return
    _said(json, "put on the board", gallery.board(_selected(gallery, pictures, query), name))


@boards.command("take", epilog=example("workbench gallery board take winners 3f9ab1"))
@guard
def board_take(
    name: Annotated[str, typer.Argument(help="The board.")],
    pictures: PicturesArgument = None,
    query: QueryOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take pictures off a board."""
    gallery = _gallery(home)
    _said(json, "taken off the board", gallery.unboard(_selected(gallery, pictures, query), name))


@boards.command("rename", epilog=example("workbench gallery board rename winners finalists"))
@guard
def board_rename(
    name: Annotated[str, typer.Argument(help="The board.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    home: HomeOption = None,
) -> None:
    """Give a board another name."""
    from workbench.store.marks import rename_board

    rename_board(_gallery(home).store, name, new)


@boards.command("remove", epilog=example("workbench gallery board remove winners"))
@guard
def board_remove(name: Annotated[str, typer.Argument(help="The board.")], home: HomeOption = None) -> None:
    """Remove a board; its pictures stay."""
    from workbench.store.marks import remove_board

    remove_board(_gallery(home).store, name)


@app.command(
    epilog=example(
        "workbench gallery compare 3f9ab1 77c0 --out compared.html",
        "workbench gallery compare before.png after.png --out compared.png",
    )
)
@guard
def compare(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE...", help="Digests, or paths of pictures.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A .html page (slider, differences, blink) or a .png sheet."),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare pictures: in numbers with the first, and as a page or sheet."""
    from workbench.comparison import compare as compared

    if out is not None and out.suffix.lower() not in (".html", ".png"):
        raise WorkbenchError(
            f"A comparison cannot be written to {str(out)!r}.", "Use a name that ends in .html or .png."
        )
    gallery = _gallery(home) if any(not Path(each).is_file() for each in pictures) else None
    sources = [Path(each) if gallery is None or Path(each).is_file() else gallery.show(each) for each in pictures]
    found = compared(*sources)
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(found.labels[1:], 1):
        if found.pictures[place].size == found.pictures[0].size:
            apart = found.difference(0, place)
            numbers = {"changed": apart.changed, "largest": apart.largest, "mean": apart.mean, "psnr": apart.psnr}
            rows.append({"picture": name, **numbers, "sentence": apart.sentence})
        else:
            rows.append({"picture": name, "sentence": "another size"})
    if out is not None:
        (found.to_html if out.suffix.lower() == ".html" else found.to_png)(out)
    if json:
        print_json({"first": found.labels[0], "differences": rows, "file": str(out) if out else None})
        return
    for row in rows:
        typer.echo(f"{row['picture']}: {row['sentence']}")
    if out is not None:
        typer.echo(str(out))


@app.command(epilog=example("workbench gallery export --query 'board:winners' --out winners.zip"))
@guard
def export(
    pictures: PicturesArgument = None,
    query: QueryOption = None,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The zip file.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write pictures into a zip file, each with a JSON file of recipe, marks and scores."""
    from workbench.store.export import export_zip

    gallery = _gallery(home)
    digests = _selected(gallery, pictures, query)
    with _counter("Exporting") as told:
        path = export_zip(gallery, digests, out, told)
    _said(json, "written", len(digests), file=str(path))


@app.command(epilog=example("workbench gallery delete 3f9ab1", "workbench gallery delete --query 'tag:bad'"))
@guard
def delete(
    pictures: PicturesArgument = None, query: QueryOption = None, home: HomeOption = None, json: JsonOption = False
) -> None:
    """Put pictures into the trash."""
    gallery = _gallery(home)
    _said(json, "in the trash", gallery.delete(_selected(gallery, pictures, query)))


@trash.command("list", epilog=example("workbench gallery trash list"))
@guard
def trash_list(limit: LimitOption = 20, home: HomeOption = None, json: JsonOption = False) -> None:
    """List what is in the trash."""
    _print(_gallery(home), "is:trash", limit, json=json)


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
    gallery = _gallery(home)
    chosen = gallery.digests("is:trash") if every else _selected(gallery, pictures, query and f"is:trash ({query})")
    _said(json, "restored", gallery.restore(chosen))


@trash.command("empty", epilog=example("workbench gallery trash empty --yes"))
@guard
def trash_empty(
    yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Delete for good what is in the trash."""
    gallery = _gallery(home)
    count = gallery.search("is:trash", limit=0).total
    if count and not yes and not typer.confirm(f"Delete {count} pictures for good?", err=True):
        raise typer.Exit(1)
    _said(json, "deleted for good", gallery.empty_trash())


@app.command(epilog=example("workbench gallery refresh"))
@guard
def refresh(home: HomeOption = None, json: JsonOption = False) -> None:
    """Index files that have no row, and make what is missing: thumbnails, digests of pixels."""
    from workbench.store.refresh import refresh as look

    with _counter("Looking") as told:
        done = look(_gallery(home), told)
    for name in done.unreadable:
        complain(f"Warning: {name} is damaged or no picture of the workbench.")
    if json:
        print_json({"indexed": done.indexed, "thumbnails": done.thumbnails, "contents": done.contents,
                    "unreadable": list(done.unreadable)})  # fmt: skip
        return
    typer.echo(f"{done.indexed} indexed, {done.thumbnails} thumbnails made, {done.contents} digests computed")


def _gallery(home: Path | None) -> Gallery:
    from workbench.settings import settings
    from workbench.store import Store
    from workbench.store.gallery import Gallery

    chosen = settings(home=home)
    return Gallery(Store(chosen.home, chosen.database))


def _selected(gallery: Gallery, pictures: Sequence[str] | None, query: str | None) -> list[str]:
    """Whole digests of what was named, or of what the query finds."""
    if bool(pictures) == (query is not None):
        raise WorkbenchError("It is not said which pictures.", "Name some by their first digits, or use --query.")
    if query is not None:
        return gallery.digests(query)
    return [gallery.find(each) for each in pictures or ()]


def _print(gallery: Gallery, query: str, limit: int, offset: int = 0, sort: str = "-created", *, json: bool) -> None:
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


def _said(json: bool, what: str, count: int, **more: str) -> None:
    if json:
        print_json({"pictures": count} | more)
    else:
        typer.echo(" ".join([f"{count} {'picture' if count == 1 else 'pictures'} {what}", *more.values()]))


def _counts(found: dict[str, int], name: str, json: bool) -> None:
    if json:
        print_json([{name: each, "pictures": count} for each, count in found.items()])
    else:
        print_table([name, "pictures"], list(found.items()))


@contextmanager
def _counter(label: str) -> Iterator[Callable[[int, int], None] | None]:
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
