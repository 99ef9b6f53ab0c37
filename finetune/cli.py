"""The command line: `finetune COMMAND`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench import __version__
from workbench.cli._common import HomeOption, JsonOption, example, guard, print_json, print_table

if TYPE_CHECKING:
    from finetune.adapter_info import AdapterInfo
    from finetune.fit import Fit

app = typer.Typer(
    name="finetune",
    help="Adapters (LoRA) for FLUX models. The trainer itself is not here yet.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"finetune {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Adapters (LoRA) for FLUX models. The trainer itself is not here yet."""


@app.command(epilog=example("finetune info style.safetensors", "finetune info style.safetensors --json"))
@guard
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="The adapter file.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what an adapter file holds: ranks, layers, precision, alpha, metadata, and which models it fits.

    Only the file's header is read.
    """
    from finetune.adapter_info import read_info
    from finetune.fit import find_fit
    from workbench.models.catalog import ModelCatalog
    from workbench.settings import settings

    adapter = read_info(file)
    chosen = settings(home=home)
    fit = find_fit(adapter, ModelCatalog(chosen.home, chosen.models, device=chosen.device).models())
    if json:
        print_json(as_dict(adapter, fit))
    else:
        _print(adapter, fit)


def as_dict(adapter: AdapterInfo, fit: Fit) -> dict[str, Any]:
    """Everything known of an adapter, as JSON values."""
    return {
        "path": str(adapter.path),
        "file_bytes": adapter.file_bytes,
        "naming": adapter.naming,
        "keys": adapter.keys,
        "dtypes": list(adapter.dtypes),
        "alpha": adapter.alpha,
        "parameters": adapter.parameters,
        "families": list(fit.families),
        "fits": list(fit.models),
        "modules": {
            name: {"rank": each.rank, "in": each.in_features, "out": each.out_features}
            for name, each in adapter.modules.items()
        },
        "other_keys": list(adapter.other_keys),
        "metadata": dict(adapter.metadata),
    }


def _print(adapter: AdapterInfo, fit: Fit) -> None:
    ranks = ", ".join(f"{rank} ({count} modules)" for rank, count in adapter.ranks.items())
    alpha = {
        "tensor": "as tensors",
        "metadata": "in the metadata",
        "absent": "absent, so the scale is 1",
    }[adapter.alpha]
    facts = [
        ("file", f"{adapter.path} ({adapter.file_bytes / 1e6:.2f} MB)"),
        ("naming", adapter.naming),
        ("keys", adapter.keys),
        ("precision", ", ".join(adapter.dtypes)),
        ("rank", ranks),
        ("alpha", alpha),
        ("parameters", f"{adapter.parameters:,}"),
        ("likely family", " or ".join(fit.families) or "not known"),
        ("fits", ", ".join(fit.models) or "none of the models here"),
        *(("not LoRA", key) for key in adapter.other_keys),
        *(("metadata", f"{key} = {value[:200]}") for key, value in adapter.metadata.items()),
    ]
    print_table(["", ""], facts)
    typer.echo()
    print_table(
        ["module", "rank", "in", "out"],
        [(name, each.rank, each.in_features, each.out_features) for name, each in adapter.modules.items()],
    )


def main() -> None:
    """Entry point of the console script."""
    app()
