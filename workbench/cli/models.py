"""`workbench models ...`: what there is, what a file is, what comes and goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import listings
from workbench.cli._common import (
    CHECK_FAILED,
    HomeOption,
    JsonOption,
    complain,
    example,
    guard,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from workbench.models.catalog import ModelCatalog

app = typer.Typer(help="Models: what there is, what a file is, what comes and goes.", rich_markup_mode=None)


@app.callback(
    invoke_without_command=True, epilog=example("workbench models --json", "workbench models inspect ae.safetensors")
)
def models(context: typer.Context, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the models that can be drawn with; with a command, more about them.

    What is wrong with the others is told on stderr.
    """
    if context.invoked_subcommand is None:
        listings.models(home, json)


app.command("list", epilog=example("workbench models list"))(listings.models)


@app.command(
    "inspect", epilog=example("workbench models inspect flux1-dev-Q4_0.gguf", "workbench models inspect *.safetensors")
)
@guard
def inspect(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Safetensors or GGUF files.", show_default=False)
    ],
    strip: Annotated[
        Path | None,
        typer.Option("--strip", metavar="OUT", help="Also write the header without data, for a report; one FILE only."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what weight files are: kind, family, variant, precision.

    Headers alone are read, whatever the size, and file names are not believed. The exit code is 1 when a file is not
    recognised.
    """
    from workbench.errors import SettingsError
    from workbench.models.identify import identify, read
    from workbench.models.identify.stripped import to_json
    from workbench.store.files import write_atomically

    if strip is not None and len(files) != 1:
        raise SettingsError("--strip needs exactly one file.", "Name the one that is to be stripped.")
    rows: list[dict[str, Any]] = []
    known = True
    for path in files:
        header = read(path)
        what = identify(header)
        known &= what.known
        if strip is not None:
            write_atomically(strip, to_json(header).encode())
        rows.append(
            {
                "path": str(path),
                "kind": what.kind,
                "family": what.family,
                "variants": list(what.variants),
                "stated": what.stated,
                "layout": what.layout,
                "prefix": what.prefix,
                "precision": what.numbers.precision,
                "method": what.numbers.method,
                "parameters": what.numbers.parameters,
                "bytes": what.numbers.bytes,
                "tensors": len(header.tensors),
                "contents": list(what.contents),
                "facts": dict(what.facts or {}),
                "sentence": what.sentence,
            }
        )
    if json:
        print_json(rows)
    elif len(rows) == 1:
        complain(str(rows[0]["path"]))
        print_table(["what", "value"], [(name, _cell(value)) for name, value in rows[0].items() if name != "path"])
    else:
        print_table(["file", "what"], [(Path(row["path"]).name, row["sentence"]) for row in rows])
    if not known:
        raise typer.Exit(CHECK_FAILED)


@app.command(
    "pull",
    epilog=example(
        "workbench models pull black-forest-labs/FLUX.2-klein-4B",
        "workbench models pull city96/FLUX.1-dev-gguf --file flux1-dev-Q4_0.gguf",
    ),
)
@guard
def pull(
    name: Annotated[str, typer.Argument(metavar="ORG/NAME[@REVISION]", show_default=False)],
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Only this file, to be added with `models add`.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Download a model from the Hugging Face hub.

    Only configurations and safetensors files are taken. What is interrupted goes on where it stopped when it is run again.
    """
    from workbench.models.sources.hub import pull as download

    catalog = _catalog(home)
    with _transfer(name) as listen:
        path = download(catalog, name, file=file, listen=listen)
    if json:
        print_json({"path": str(path)})
    else:
        typer.echo(str(path))


@app.command("add", epilog=example("workbench models add flux1-dev-Q4_0.gguf --base FLUX.1-dev --name dev-q4"))
@guard
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Safetensors or GGUF.", show_default=False)],
    base: Annotated[str, typer.Option("--base", metavar="MODEL", help="Model that gives everything else.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the result.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a model of a single file (transformer or VAE) and of a model that gives the rest.

    What is taken from the other model is linked where the disk can, so the result takes the space of the file alone.
    """
    from workbench.models.sources.files import add as install

    folder = install(_catalog(home), file, base, name)
    if json:
        print_json({"name": name, "path": str(folder)})
    else:
        typer.echo(str(folder))


@app.command("remove", epilog=example("workbench models remove dev-q4"))
@guard
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a model from the workbench's home; models elsewhere are left alone."""
    from workbench.models.sources.files import remove as delete

    freed = delete(_catalog(home), name)
    if json:
        print_json({"name": name, "bytes": freed})
    else:
        typer.echo(f"Removed {name}, {freed / 1e9:.2f} GB.")


def _catalog(home: Path | None) -> ModelCatalog:
    from workbench.models.catalog import ModelCatalog
    from workbench.settings import settings

    chosen = settings(home=home)
    return ModelCatalog(chosen.home, chosen.models, device=chosen.device)


@contextmanager
def _transfer(label: str) -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress bar of bytes on stderr; None when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda name, done, total: bar.update(task, completed=done, total=total, description=name)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
