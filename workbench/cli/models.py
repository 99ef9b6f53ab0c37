"""`workbench models ...`: what there is, what a file is, what comes and goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import caches, listings
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
    from workbench.recipe import Precision, Quantisation

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
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Safetensors or GGUF files.", show_default=False)],
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
    name: Annotated[
        str, typer.Argument(metavar="ORG/NAME[@REVISION]", help="Repository on the hub.", show_default=False)
    ],
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
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A model that is here.", show_default=False),
    ],
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


@app.command(
    "plan",
    epilog=example(
        "workbench models plan klein-nano --width 256 --height 256",
        "workbench models plan FLUX.2-klein-4B --memory 12",
    ),
)
@guard
def plan(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A model that is here, or a repository on the hub.", show_default=False),
    ],
    *,
    width: Annotated[int | None, typer.Option("--width", min=16, help="Pixels; default: the model's.")] = None,
    height: Annotated[int | None, typer.Option("--height", min=16, help="Pixels; default: the model's.")] = None,
    references: Annotated[int, typer.Option("--references", min=0, max=10, help="Pictures it looks at.")] = 0,
    memory: Annotated[
        float | None, typer.Option("--memory", metavar="GB", min=0, help="What there is; default: what is free now.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a picture will take in memory, before anything is loaded or downloaded.

    Computed for every precision from configurations and headers, or for a published model that is not here from the
    table of families; the last column says what the engine will do.
    """
    import torch

    from workbench.engine.forecast import forecast, forecast_published, known
    from workbench.engine.memory import available
    from workbench.errors import ModelError
    from workbench.models.device import choose_device
    from workbench.settings import settings

    device = torch.device(choose_device(settings(home=home).device))
    free = available(device) if memory is None else int(memory * 1e9)
    forms: list[tuple[Precision, Quantisation | None]] = [
        ("float32", None), ("bfloat16", None), ("bfloat16", "int8"), ("bfloat16", "fp8"), ("bfloat16", "nf4"),
        ("bfloat16", "int8+text"), ("bfloat16", "nf4+text"),
    ]  # fmt: skip
    catalog, note = _catalog(home), ""
    try:
        model = catalog.model(name)
    except ModelError:
        if _is_folder(catalog, name):
            raise
        family, checkpoint = known(name)
        size = width or family.width, height or family.height
        found = [forecast_published(name, *form, size, references=references) for form in forms]
        gated = ", gated" if checkpoint.gated else ""
        source = checkpoint.repository or "this package"
        note = f" (not here: {source}, {checkpoint.download_gb:g} GB to download, {checkpoint.licence}{gated})"
    else:
        size = width or model.width, height or model.height
        found = [forecast(model, *form, size, references=references) for form in forms]
    rows = [
        {
            "precision": each.precision,
            "quantisation": each.quantisation,
            "weights": each.weights,
            "denoise": each.denoise,
            "decode": each.decode,
            "resident": each.resident,
            "dropped": each.dropped,
            "choice": each.choice(free),
        }
        for each in found
    ]
    if json:
        facts = {"model": name, "installed": not note, "width": size[0], "height": size[1], "free": free}
        print_json(facts | {"forms": rows})
        return
    complain(f"{name}{note}, {size[0]} x {size[1]}, {free / 1e9:.2f} GB free on {device}; in GB:")
    parts = list(found[0].weights)
    print_table(
        ["precision", *parts, "steps", "decoding", "peak", "without text", "choice"],
        [
            (
                f"{each.precision}{f', {each.quantisation}' if each.quantisation else ''}",
                *(f"{each.weights[part] / 1e9:.3f}" for part in parts),
                f"{each.denoise / 1e9:.3f}",
                f"{each.decode / 1e9:.3f}",
                f"{each.resident / 1e9:.3f}",
                f"{each.dropped / 1e9:.3f}",
                each.choice(free),
            )
            for each in found
        ],
    )


app.command(
    "caches",
    epilog=example(
        "workbench models caches klein-nano-base",
        "workbench models caches klein-nano-base --cache taylorseer:interval=2 --prompt 'a green star'",
        "workbench models caches klein-nano-base --calibrate",
    ),
)(caches.caches)


@app.command("features", epilog=example("workbench models features"))
@guard
def features(json: JsonOption = False) -> None:
    """Try what works with what: forms of weights with everything that is done to them, caches with every family."""
    from workbench.engine.cache_features import cache_matrix
    from workbench.models.features import FORMS, USES, matrix
    from workbench.recipe.approximate import METHODS

    cells, modes = matrix(), cache_matrix()
    if json:
        both = [*cells, *modes]
        rows = [{"form": each.form, "use": each.use, "works": each.works, "reason": each.reason} for each in both]
        print_json(rows)
        return
    found = {(cell.form, cell.use): cell for cell in cells}
    print_table(
        ["weights", *USES],
        [(form, *("yes" if found[form, use].works else "no" for use in USES)) for form in FORMS],
    )
    found = {(cell.form, cell.use): cell for cell in modes}
    families = list(dict.fromkeys(cell.use for cell in modes))
    typer.echo()
    print_table(
        ["family", *METHODS],
        [(family, *("yes" if found[mode, family].works else "no" for mode in METHODS)) for family in families],
    )
    cells += modes
    for reason in sorted({cell.reason for cell in cells if not cell.works and cell.reason != "as it is"}):
        complain(reason)


def _is_folder(catalog: ModelCatalog, name: str) -> bool:
    """Whether there is something of this name, which then is what cannot be used."""
    return name in catalog.broken() or Path(name).expanduser().is_dir()


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
