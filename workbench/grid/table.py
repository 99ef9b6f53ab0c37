"""A tidy table of a grid: one row per picture, one column per axis."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.grid.plan import Dimension

if TYPE_CHECKING:
    import pandas

    from workbench.grid.result import GridResult

COLUMNS = ("cell", "seed", "digest", "status", "reused", "seconds", "path", "warnings", "error")
"""The columns beside the axes."""


def frame(result: GridResult) -> pandas.DataFrame:
    """One row per picture, in the order of the axes; skipped cells have none.

    Columns: `cell` (number), one per axis (numbers where all its values are numbers, else labels), `seed`, `digest`,
    `status` (done, failed, pending), `reused`, `seconds` (sum over stages), `path` (file in the store, or empty),
    `warnings`, `error`. An axis whose title is one of these names gets ` (axis)` behind it.
    """
    import pandas

    axes = {_column(dimension): _entries(dimension) for dimension in result.plan.dimensions}
    rows = []
    for cell in result.plan.cells:
        for shot in result.cell_shots(cell):
            place: dict[str, Any] = {
                name: entries[at] for (name, entries), at in zip(axes.items(), cell.at, strict=True)
            }
            stored = result.store.get(shot.digest) if result.store is not None and shot.status == "done" else None
            rows.append(
                {"cell": cell.index}
                | place
                | {
                    "seed": shot.recipe.seed,
                    "digest": shot.digest,
                    "status": shot.status,
                    "reused": shot.reused,
                    "seconds": float(sum(shot.seconds.values())),
                    "path": str(stored.path) if stored is not None else "",
                    "warnings": " ".join(shot.warnings),
                    "error": str(shot.error or ""),
                }
            )
    return pandas.DataFrame(rows, columns=["cell", *axes, *COLUMNS[1:]])


def save_parquet(result: GridResult, path: Path) -> Path:
    """Write the table as Parquet, whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    from workbench.store import write_atomically

    buffer = io.BytesIO()
    frame(result).to_parquet(buffer, index=False)
    write_atomically(path, buffer.getvalue())
    return path


def _column(dimension: Dimension) -> str:
    return f"{dimension.title} (axis)" if dimension.title.casefold() in COLUMNS else dimension.title


def _entries(dimension: Dimension) -> list[Any]:
    """What stands in the column for each place: numbers where the whole axis is numbers."""
    raw = [value.raw for value in dimension.values]
    numeric = all(value is None or isinstance(value, int | float) for value in raw) and any(v is not None for v in raw)
    return raw if numeric else list(dimension.labels)
