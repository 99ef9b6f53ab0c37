"""The command line: `workbench COMMAND`. Commands import what is heavy when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench import __version__
from workbench.cli import gallery, generate, grid, listings, machine, models, prompts, queue, recall, upscale, verify
from workbench.cli._common import example

app = typer.Typer(
    name="workbench",
    help="Make, keep, compare and verify pictures with FLUX models.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: quick, and readable in a pipe
    pretty_exceptions_enable=False,  # a traceback is a bug of ours, and its locals are nobody's business
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"workbench {__version__}")
        raise typer.Exit


@app.callback(epilog=example("workbench generate --prompt 'a red circle' --seed 7 --out circle.png"))
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make, keep, compare and verify pictures with FLUX models."""


app.command(
    "generate",
    epilog=example(
        "workbench generate --prompt 'a red circle to the left of a blue square' --seed 7 --out circle.png",
        "workbench generate --prompt 'make the circle blue' --reference circle.png --out blue.png",
        "workbench generate --prompt 'a green star' --image shapes.png --mask where.png --strength 0.8",
        "workbench generate --prompt 'the word \"FLUX\"' --set steps=20 --set guidance_scale=3 --json",
        "workbench generate --dynamic --prompt 'a {red|blue} {circle|star}'",
    ),
)(generate.generate)
app.command(
    "grid",
    epilog=example("workbench grid shapes.yaml --dry-run", "workbench grid shapes.yaml --out shapes"),
)(grid.grid)
app.command(
    "upscale",
    epilog=example(
        "workbench upscale circle.png --scale 2 --out large.png",
        "workbench upscale photo.jpg --model RealESRGAN_x4plus.safetensors --scale 3 --out large.png",
        "workbench upscale circle.png --scale 2 --refine klein-nano --prompt 'a red circle' --strength 0.5",
    ),
)(upscale.upscale)
app.command("verify", epilog=example("workbench verify circle.png"))(verify.verify)
app.command(
    "recall", epilog=example("workbench recall circle.png", "workbench recall from_comfyui.png --yaml > again.yaml")
)(recall.recall)
app.add_typer(models.app, name="models")
app.add_typer(prompts.app, name="prompts")
app.add_typer(machine.app, name="settings")
app.command("capabilities", epilog=example("workbench capabilities --json"))(machine.capabilities)
app.command("doctor", epilog=example("workbench doctor", "workbench doctor --json > report.json"))(machine.doctor)
app.add_typer(gallery.app)
app.command("fields", epilog=example("workbench fields"))(listings.fields)
app.command("pictures", epilog=example("workbench pictures --limit 5 --json"))(listings.pictures)
app.add_typer(queue.app)


def main() -> None:
    """Entry point of the console script."""
    app()
