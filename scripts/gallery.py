"""Make the grid that the README shows, from a real run of the embedded model.

    .venv/bin/python scripts/gallery.py

Writes `docs/gallery/grid.png`; pictures that the store holds are not made again. The figures and sheets of the embedded
models come from `scripts/nano_card.py`.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from workbench.cli._common import progress
from workbench.grid import Grid
from workbench.session import Session

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Draw the grid of `docs/examples/shapes.yaml`."""
    mpl.use("agg")
    grid = Grid.from_yaml((ROOT / "docs" / "examples" / "shapes.yaml").read_text(encoding="utf-8"))
    with progress("Grid") as listen:
        grid.run(Session(), listen=listen).save_png(ROOT / "docs" / "gallery" / "grid.png")


if __name__ == "__main__":
    main()
