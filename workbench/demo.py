"""The main job, end to end: `python -m workbench.demo [DIR]` makes a labelled grid on the embedded model.

Four shapes by three colours, two seeds each. The same few lines work in a notebook.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli._common import guard, progress
from workbench.grid import Grid
from workbench.session import Session


@guard
def main(out: Annotated[Path, typer.Argument(help="Folder to write to.")] = Path("demo")) -> None:
    """Run the grid, show a progress bar, and name the files that were written."""
    grid = Grid(
        {"prompt": "a red circle on a white background"},
        [
            {"title": "Shape", "replace": "circle", "values": "circle, square, triangle, star"},
            {"title": "Colour", "replace": "red", "values": "red, blue, green"},
        ],
        seeds=2,
        title="Four shapes in three colours",
    )
    session = Session()
    typer.echo(f"{grid.summary(session)}.")
    with progress("Demo") as listen:
        result = grid.run(session, listen=listen)
    files = result.save(out)
    typer.echo(f"Computed {result.computed} pictures, reused {result.reused}, failed {result.failed}. Written:")
    for path in files:
        typer.echo(f"  {path.resolve()}")


if __name__ == "__main__":
    typer.run(main)
