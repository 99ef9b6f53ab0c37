"""`workbench models ...`: what there is, and what a file is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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

app = typer.Typer(help="Models: what there is, and what a file is.", rich_markup_mode=None)


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


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
