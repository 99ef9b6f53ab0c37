"""`workbench gallery`: find, compare, export and delete pictures of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli import _marks
from workbench.cli._boards import boards
from workbench.cli._common import HomeOption, JsonOption, complain, example, guard, print_json
from workbench.cli._gallery import (
    LimitOption,
    PicturesArgument,
    QueryOption,
    SortOption,
    counter,
    open_gallery,
    print_page,
    say,
    selected,
)
from workbench.cli._trash import trash
from workbench.errors import WorkbenchError

app = typer.Typer(
    name="gallery",
    help="Find, mark, compare, export and delete pictures.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=example("workbench gallery search 'prompt:star steps>=8'"),
)
app.add_typer(boards)
app.add_typer(trash)


@app.command("list", epilog=example("workbench gallery list --limit 5", "workbench gallery list --json"))
@guard
def list_(limit: LimitOption = 20, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the newest pictures."""
    print_page(open_gallery(home), "", limit, json=json)


@app.command(
    epilog=example(
        "workbench gallery search 'model:klein steps>=8 \"red circle\" -star'",
        "workbench gallery search 'score.scene>0.5 created>7d' --sort -score.scene",
        "workbench gallery search 'tag:good or star' --json",
    )
)
@guard
def search(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="Words, FIELD:VALUE, FIELD>=VALUE, -not, or; see docs/gallery.md.")
    ],
    *,
    limit: LimitOption = 20,
    offset: Annotated[int, typer.Option("--offset", metavar="N", min=0, help="Skip N.")] = 0,
    sort: SortOption = "-created",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Search in everything that recipes, marks and scores say."""
    print_page(open_gallery(home), query, limit, offset, sort, json=json)


@app.command(epilog=example("workbench gallery show 3f9ab1", "workbench gallery show 3f9ab1 --json"))
@guard
def show(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="First digits of the digest.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one picture: recipe, marks, scores, and where it comes from."""
    gallery = open_gallery(home)
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


app.command(epilog=example("workbench gallery star 3f9ab1", "workbench gallery star --query 'score.scene>0.9'"))(
    _marks.star
)
app.command(epilog=example("workbench gallery tag 3f9ab1 --add good --remove later"))(_marks.tag)
app.command(epilog=example("workbench gallery tags"))(_marks.tags)
app.command(epilog=example("workbench gallery note 3f9ab1 'the word is misspelt'", "workbench gallery note 3f9ab1 ''"))(
    _marks.note
)


@app.command(
    epilog=example(
        "workbench gallery compare 3f9ab1 77c0 --out compared.html",
        "workbench gallery compare before.png after.png --out compared.png",
    )
)
@guard
def compare(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE", help="Digests, or paths of pictures.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="A .html page (slider, differences, blink) or a .png sheet."),
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
    gallery = open_gallery(home) if any(not Path(each).is_file() for each in pictures) else None
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
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The zip file.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write pictures into a zip file, each with a JSON file of recipe, marks and scores."""
    from workbench.store.export import export_zip

    gallery = open_gallery(home)
    digests = selected(gallery, pictures, query)
    with counter("Exporting") as told:
        path = export_zip(gallery, digests, out, told)
    say(json, "written", len(digests), file=str(path))


@app.command(epilog=example("workbench gallery delete 3f9ab1", "workbench gallery delete --query 'tag:bad'"))
@guard
def delete(
    pictures: PicturesArgument = None, query: QueryOption = None, home: HomeOption = None, json: JsonOption = False
) -> None:
    """Put pictures into the trash."""
    gallery = open_gallery(home)
    say(json, "in the trash", gallery.delete(selected(gallery, pictures, query)))


@app.command(epilog=example("workbench gallery refresh"))
@guard
def refresh(home: HomeOption = None, json: JsonOption = False) -> None:
    """Index files that have no row, and make what is missing: thumbnails, digests of pixels."""
    from workbench.store.refresh import refresh as look

    with counter("Looking") as told:
        done = look(open_gallery(home), told)
    for name in done.unreadable:
        complain(f"Warning: {name} is damaged or no picture of the workbench.")
    if json:
        print_json({"indexed": done.indexed, "thumbnails": done.thumbnails, "contents": done.contents,
                    "unreadable": list(done.unreadable), "swept": done.swept})  # fmt: skip
        return
    typer.echo(f"{done.indexed} indexed, {done.thumbnails} thumbnails made, {done.contents} digests computed"
               f"{f', {done.swept} leftovers of killed programs removed' if done.swept else ''}")  # fmt: skip
