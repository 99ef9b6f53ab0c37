"""The command line: `finetune COMMAND`. Every part of the package registers its own commands here, one line each."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune import train_cli as training
from finetune.data import cli as data
from finetune.pick import cli as pick
from finetune.surgery import cli as surgery
from workbench import __version__

ABOUT = "Train adapters (LoRA) for FLUX models, and work on adapter files."

app = typer.Typer(
    name="finetune",
    help=ABOUT,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"finetune {__version__}")
        raise typer.Exit


@app.callback(help=ABOUT)
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What all commands share."""


data.register(app)
surgery.register(app)
pick.register(app)
training.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()
