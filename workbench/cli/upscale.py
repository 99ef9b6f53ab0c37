"""`workbench upscale`: one picture, larger."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli._common import (
    DeviceOption,
    HomeOption,
    JsonOption,
    complain,
    guard,
    open_session,
    print_json,
    progress,
)
from workbench.errors import StoreError


@guard
def upscale(
    picture: Annotated[
        str, typer.Argument(metavar="FILE", help="A picture, or the digest of one in the store.", show_default=False)
    ],
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", metavar="NAME", help="lanczos, a name in HOME/upscalers, or a .safetensors file."
        ),
    ] = "lanczos",
    scale: Annotated[
        float | None,
        typer.Option("--scale", "-s", metavar="X", help="Side over side, 1 to 16; default: the upscaler's, or 2."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.png", help="Write here (replacing) as well.")
    ] = None,
    refine: Annotated[
        str | None,
        typer.Option("--refine", metavar="MODEL", help="Draw overlapping tiles of the result anew with this model."),
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", help="What the picture shows; for --refine.")] = "",
    strength: Annotated[
        float | None, typer.Option("--strength", metavar="X", help="How much --refine draws anew. Default: 0.3.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", help="Steps of --refine.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of --refine.")] = 0,
    tile: Annotated[
        int | None, typer.Option("--tile", metavar="N", help="Side of the tiles of --refine, in pixels.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option("--overlap", metavar="N", help="Pixels that tiles of --refine share at least.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Do it even when the result is kept.")] = False,
    home: HomeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Make a picture larger and print where the result is.

    An ESRGAN-like network enlarges it in tiles that leave no trace; --refine then adds detail with a FLUX model.
    """
    from workbench.store import check_writable, write_atomically
    from workbench.upscale import Upscale
    from workbench.upscale import upscale as run

    if out is not None:
        if out.suffix.lower() != ".png":
            raise StoreError(f"Cannot write {str(out)!r}: pictures are PNG files.", "End the name in .png.")
        check_writable(out)
    second = {"prompt": prompt, "strength": strength, "steps": steps, "seed": seed, "tile": tile, "overlap": overlap}
    given = {name: value for name, value in second.items() if value not in (None, "")}
    request: dict[str, Any] = {"picture": picture, "upscaler": model, "scale": scale}
    if refine is not None:
        request["refine"] = {"model": refine} | given
    elif stray := sorted(given.keys() - {"seed"}):
        from workbench.upscale.layout import UpscaleError

        raise UpscaleError(f"--{stray[0]} is about a refine pass, but there is none.", "Name its model with --refine.")
    session = open_session(home, device)
    with _bar() as tell, progress("Refining") as listen:
        made = run(session, Upscale.parse(request), progress=tell, listen=listen, again=again)
    for warning in made.warnings:
        complain(f"Warning: {warning}")
    path = made.path
    if out is not None:
        write_atomically(out, path.read_bytes())
        path = out
    if json:
        facts = {"path": str(path), "digest": made.digest, "reused": made.reused, "seconds": made.seconds}
        size = {"width": made.resolved.width, "height": made.resolved.height}
        print_json(facts | size | {"request": made.resolved.request.model_dump(mode="json")})
    else:
        typer.echo(path)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """Tells the network's tiles on stderr; nothing when that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    def tell(done: int, total: int) -> None:
        typer.echo(f"\rEnlarging {100 * done // total:3d}%" + ("\n" if done == total else ""), nl=False, err=True)

    yield tell
