"""Finding what a source holds: pictures, captions, references and masks, before anything is decoded.

folder   cat.png + cat.txt; control/, control_2/ ... with the references of the same stem; masks/ with the masks;
         reg/ as a regularisation source; or a metadata.jsonl, which then decides what belongs to the folder
jsonl    one object a line: file_name, text, source, source_2 ..., mask; paths are relative to the file
parquet  the same as columns, pictures as bytes; read through `datasets`, as a data set of the hub
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from finetune.data.config import MAX_REFERENCES, Source, source_name
from finetune.data.errors import DataError
from finetune.data.pictures import SUFFIXES, Blob, FileBlob

METADATA = "metadata.jsonl"
CONTROLS = ("control", *(f"control_{number}" for number in range(2, MAX_REFERENCES + 1)))
SOURCES = ("source", *(f"source_{number}" for number in range(2, MAX_REFERENCES + 1)))
MASKS, REGULARISATION = "masks", "reg"
MAX_METADATA = 256 * 1024 * 1024  # bytes of a metadata file


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture with what belongs to it, still undecoded."""

    id: str  # source name and place in it, the same on every machine
    picture: Blob
    captions: tuple[str, ...]  # empty when there is none at all
    references: tuple[Blob | None, ...]  # None where one that others have is missing
    mask: Blob | None
    source: Source
    caption_file: Path | None = None  # where the caption is written down, when it is a file of its own


def find_entries(source: Source) -> list[Entry]:
    """What `source` holds, in a fixed order.

    Raises:
        DataError: it is not there, holds no picture, or its metadata is broken.
    """
    path = Path(source.path).expanduser()
    kind = _kind(source, path)
    if kind in ("folder", "jsonl") and not path.exists():
        raise DataError(f"There is no {kind} {source.path!r}.", "Give a folder, a .jsonl or .parquet file.")
    if kind == "folder":
        entries = _folder(source, path)
    elif kind == "jsonl":
        entries = list(_jsonl(source, path))
    else:
        from finetune.data.tables import table_entries

        entries = list(table_entries(source, path, kind))
    if not entries:
        raise DataError(f"There is no picture in {source.path!r}.", f"Files are known by {', '.join(SUFFIXES)}.")
    return entries


def _kind(source: Source, path: Path) -> str:
    if source.kind != "auto":
        return source.kind
    if path.suffix.lower() in (".jsonl", ".parquet"):
        return path.suffix.lower()[1:]
    if not path.exists() and source.path.count("/") == 1 and not source.path.startswith((".", "/", "~")):
        return "hub"
    return "folder"


# --- folders


def _folder(source: Source, root: Path) -> list[Entry]:
    if (root / METADATA).is_file():
        return list(_jsonl(source, root / METADATA))
    own = {*CONTROLS, MASKS, REGULARISATION}
    pictures = [path for path in _pictures(root) if path.relative_to(root).parts[0] not in own]
    controls = [_by_stem(root / name) for name in CONTROLS if (root / name).is_dir()]
    masks = _by_stem(root / MASKS)
    entries = [_file_entry(source, root, path, controls, masks) for path in pictures]
    _refuse_twins(entries, root)
    if (root / REGULARISATION).is_dir() and not source.regularisation:
        inner = replace_source(source, root / REGULARISATION)
        entries += _folder(inner, root / REGULARISATION)
    return entries


def replace_source(source: Source, folder: Path) -> Source:
    """The regularisation source that a folder of that name inside `source` is; an epoch shows its pictures once."""
    name = f"{source_name(source)}/{REGULARISATION}"
    return source.model_copy(update={"path": str(folder), "name": name, "regularisation": True, "repeats": 1})


def _file_entry(
    source: Source, root: Path, path: Path, controls: Sequence[Mapping[str, Path]], masks: Mapping[str, Path]
) -> Entry:
    inside = path.relative_to(root)
    stem = inside.with_suffix("").as_posix()
    text = path.with_suffix(".txt")
    mask = masks.get(stem)
    return Entry(
        id=f"{source_name(source)}/{inside.as_posix()}",
        picture=FileBlob(path),
        captions=captions_of(source, read_text(text) if text.is_file() else None),
        references=tuple(FileBlob(found[stem]) if stem in found else None for found in controls),
        mask=FileBlob(mask) if mask else None,
        source=source,
        caption_file=text,
    )


def _pictures(root: Path) -> list[Path]:
    """Picture files below `root`, hidden ones left out, in the order of their names."""
    try:
        found = [
            path
            for path in root.rglob("*")
            if path.suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(root).parts)
            and path.is_file()
        ]
    except OSError as error:
        raise DataError(f"The folder {str(root)!r} cannot be read: {error.strerror}.") from None
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _by_stem(folder: Path) -> dict[str, Path]:
    """Pictures of a folder that accompanies another, by their path without the suffix."""
    if not folder.is_dir():
        return {}
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in _pictures(folder)}


def _refuse_twins(entries: Sequence[Entry], root: Path) -> None:
    """Two pictures of one stem would share a caption, and nobody would know whose it is."""
    seen: dict[str, str] = {}
    for entry in entries:
        stem = entry.id.rsplit(".", 1)[0]
        if stem in seen:
            raise DataError(
                f"The pictures {seen[stem]!r} and {entry.id!r} in {str(root)!r} share one caption file.",
                "Rename one of them.",
            )
        seen[stem] = entry.id


def read_text(path: Path) -> str:
    """The UTF-8 text of a caption or metadata file; a `DataError` when it is none, or too large."""
    try:
        if path.stat().st_size > MAX_METADATA:
            raise DataError(f"The file {str(path)!r} is larger than {MAX_METADATA:,} bytes.", "Is it the right one?")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"The file {str(path)!r} is not UTF-8 text.", "Save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"The file {str(path)!r} cannot be read: {error.strerror}.") from None


def captions_of(source: Source, found: Any) -> tuple[str, ...]:
    """The captions of one picture, white space around them removed; the source's own when there is none."""
    if isinstance(found, str):
        texts = found.splitlines() if source.captions == "lines" else [" ".join(found.split())]
    else:
        texts = [str(each) for each in found or ()]
    kept = tuple(text.strip() for text in texts if text.strip())
    return kept or ((source.caption,) if source.caption else ())


# --- metadata.jsonl


def _jsonl(source: Source, path: Path) -> Iterator[Entry]:
    rows = list(_objects(path))
    column = source.image_column or "file_name"
    references = reference_columns(source, {name for _, row in rows for name in row})
    seen: set[str] = set()
    for number, row in rows:
        where = f"line {number} of {str(path)!r}"
        name = row.get(column)
        if not isinstance(name, str) or not name:
            raise DataError(f"There is no {column!r} in {where}.", "Every line names its picture.")
        if name in seen:
            raise DataError(f"The picture {name!r} stands a second time in {where}.", "Use `repeats` to show it more.")
        seen.add(name)
        mask = row.get(source.mask_column)
        yield Entry(
            id=f"{source_name(source)}/{PurePosixPath(name)}",
            picture=FileBlob(_inside(path.parent, name, where)),
            captions=captions_of(source, checked_text(row.get(source.caption_column), where)),
            references=tuple(
                FileBlob(_inside(path.parent, str(row[each]), where)) if row.get(each) else None for each in references
            ),
            mask=FileBlob(_inside(path.parent, str(mask), where)) if mask else None,
            source=source,
            caption_file=path,
        )


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a .jsonl file with their line numbers."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"Line {number} of {str(path)!r} is not JSON: {error}.", "One object a line.") from None
        if not isinstance(row, dict):
            raise DataError(f"Line {number} of {str(path)!r} is no object.", 'Write {"file_name": ..., "text": ...}.')
        yield number, row


def checked_text(value: Any, where: str) -> Any:
    """A caption as metadata hold it: a text, a list of texts, or None; anything else is a `DataError`."""
    if value is None or isinstance(value, str) or (isinstance(value, list) and all(isinstance(t, str) for t in value)):
        return value
    raise DataError(f"The caption in {where} is no text: {value!r}.", "Write a text, or a list of texts.")


def _inside(folder: Path, name: str, where: str) -> Path:
    """A path of a metadata file, which must stay below the file's folder; links are the business of who made them."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or Path(name).is_absolute() or ".." in path.parts:
        raise DataError(f"The path {name!r} in {where} leads out of its folder.", "Write paths relative to the file.")
    return folder / path


def reference_columns(source: Source, names: set[str]) -> tuple[str, ...]:
    """The columns, of those in `names`, that hold reference pictures; one that was asked for must be there."""
    missing = [name for name in source.reference_columns if name not in names]
    if missing:
        raise DataError(f"{source.path!r} has no column {missing[0]!r}.", f"It has: {', '.join(sorted(names))}.")
    return source.reference_columns or tuple(name for name in SOURCES if name in names)
