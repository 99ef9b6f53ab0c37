"""`workbench grid`: a grid file in; a labelled figure, a page and a table out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli._common import (
    CHECK_FAILED,
    INTERRUPTED,
    BatchOption,
    DeviceOption,
    HomeOption,
    JsonOption,
    complain,
    guard,
    open_session,
    print_json,
    progress,
)

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken


@guard
def grid(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A grid as YAML, or a grid.png, which carries the grid that made it.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Write here; default: a folder named like FILE.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and say what it costs; no more.")
    ] = False,
    home: HomeOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = None,
    json: JsonOption = False,
) -> None:
    """Make a labelled grid of pictures: grid.png, grid.html, cells.parquet and grid.yaml.

    Pictures that the store has are not made again, so a stopped grid goes on where it was. Exits with 1 when some
    pictures failed; the others are written all the same.
    """
    from workbench.engine.events import CancelToken
    from workbench.grid import Grid
    from workbench.store import check_writable
    from workbench.store.files import make_folder

    wanted = Grid.from_file(file)
    session = open_session(home, device, batch_size)
    summary = wanted.summary(session)
    if dry_run:
        print_json(summary.as_dict()) if json else typer.echo(f"{summary}.")
        return
    folder = out if out is not None else Path(file.stem)
    make_folder(folder)
    check_writable(folder / "grid.png")
    complain(f"{summary}.")
    token = CancelToken()
    with progress("Grid") as listen, _stopping(token):
        result = wanted.run(session, listen=listen, cancel=token)
    files = result.save(folder)
    if json:
        print_json(result.as_dict() | {"files": [str(path) for path in files]})
    else:
        failed = f", failed {result.failed}" if result.failed else ""
        left = f", not run {result.pending}" if result.pending else ""
        typer.echo(f"computed {result.computed}, reused {result.reused}{failed}{left}")
        for path in files:
            typer.echo(path)
    for place, error in result.errors.items():
        complain(f"Failed: {place}: {error}")
    if result.cancelled:
        complain("Interrupted; what was finished is kept. Run the same command to go on.")
        raise typer.Exit(INTERRUPTED)
    if result.failed:
        raise typer.Exit(CHECK_FAILED)


@contextmanager
def _stopping(token: CancelToken) -> Iterator[None]:
    """The first Ctrl-C stops after the current step and keeps what is done; a second one acts at once."""

    def stop(_number: int, _frame: Any) -> None:
        token.cancel()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
