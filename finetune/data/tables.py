"""Parquet files and data sets of the hub, read through `datasets`; their pictures are decoded by us."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.data.config import Source, source_name
from finetune.data.entries import Entry, captions_of, checked_text, reference_columns
from finetune.data.errors import DataError, PictureError
from finetune.data.pictures import FileBlob


@dataclass(frozen=True, slots=True)
class RowBlob:
    """A picture in a row of a table."""

    rows: Any  # datasets.Dataset of one column of undecoded pictures
    row: int
    column: str
    label: str
    paths: bool  # whether a cell may name a file: only in data sets that `datasets` itself has put on this machine

    def read(self) -> bytes:
        """The bytes of the cell, or of the file that it names; raises `PictureError` when there are none."""
        cell = self.rows[self.row][self.column]
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        if not self.paths:
            raise PictureError(f"There are no bytes in {self.label}.", "Write the pictures into the table.")
        return FileBlob(Path(cell["path"])).read()


def table_entries(source: Source, path: Path, kind: str) -> Iterator[Entry]:
    """The rows of a table, in their order.

    Raises:
        DataError: the table or one of its columns is not there, or a column holds no pictures.
    """
    rows = _load(source, path, kind)
    names = set(rows.column_names)
    column = source.image_column or next((name for name in ("image", "file_name") if name in names), "image")
    if column not in names:
        raise DataError(f"{source.path!r} has no column {column!r}.", f"It has: {', '.join(sorted(names))}.")
    references = reference_columns(source, names)
    masked = source.mask_column in names
    for name in (column, *references, *([source.mask_column] if masked else [])):
        rows = _undecoded(source, rows, name)
    texts = rows[source.caption_column] if source.caption_column in names else [None] * len(rows)
    prefix = source_name(source)
    pictures = (column, *references, *([source.mask_column] if masked else []))
    alone = {name: rows.select_columns([name]) for name in pictures}
    held = {name: _filled(rows, name) for name in pictures}
    for number, text in enumerate(texts):
        where = f"row {number} of {source.path!r}"

        def blob(name: str, number: int = number, where: str = where) -> RowBlob:
            return RowBlob(alone[name], number, name, f"{where}, column {name!r}", paths=kind == "hub")

        yield Entry(
            id=f"{prefix}/{number:06d}",
            picture=blob(column),
            captions=captions_of(source, checked_text(text, where)),
            references=tuple(blob(name) if held[name][number] else None for name in references),
            mask=blob(source.mask_column) if masked and held[source.mask_column][number] else None,
            source=source,
        )


def _load(source: Source, path: Path, kind: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"Reading {source.path!r} needs the package datasets.", "Install it: pip install 'flux-workbench[train]'."
        ) from None
    if kind == "parquet":
        files = sorted(str(each) for each in path.glob("*.parquet")) if path.is_dir() else [str(path)]
        if not files or not Path(files[0]).is_file():
            raise DataError(f"There is no Parquet file {source.path!r}.", "Give a .parquet file or a folder of them.")
        arguments: dict[str, Any] = {"path": "parquet", "data_files": files, "split": "train"}
    else:
        arguments = {"path": source.path, "split": source.split}
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()  # the scan has one of its own
    try:
        return datasets.load_dataset(**arguments)
    except Exception as error:  # noqa: BLE001 - the library raises errors of many packages
        said = " ".join(str(error).split())[:300]
        raise DataError(
            f"The data set {source.path!r} cannot be read: {type(error).__name__}: {said}.",
            "Check the name, the split and the network.",
        ) from None
    finally:
        if shown:
            datasets.enable_progress_bars()


def _undecoded(source: Source, rows: Any, name: str) -> Any:
    """`rows` with the pictures of one column as {bytes, path}, so that decoding is ours."""
    import datasets

    kind = rows.features[name]
    # A struct of bytes and path is a picture that was written without the library's own mark; text would be a path.
    if not isinstance(kind, (datasets.Image, dict)) and getattr(kind, "dtype", "") != "binary":
        raise DataError(f"The column {name!r} of {source.path!r} holds no pictures.", "Name another column.")
    try:
        return rows.cast_column(name, datasets.Image(decode=False))
    except Exception:  # noqa: BLE001 - as above
        raise DataError(f"The column {name!r} of {source.path!r} holds no pictures.", "Name another column.") from None


def _filled(rows: Any, name: str) -> list[bool]:
    """Which rows have a picture in a column."""
    column = rows.data.column(name)
    return [bool(valid) for valid in column.is_valid().to_pylist()]
