"""The captions of a folder as something to edit: change many at once, undo, and save what was changed, atomically.

A caption is the whole text of its .txt file, or the `text` of its line in metadata.jsonl, several captions one a line.
Files whose caption was not changed are not touched, and neither are the other fields and lines of a metadata file.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from PIL import Image

from finetune.data.config import PLACEHOLDER, DataConfig, Source
from finetune.data.entries import Entry, find_entries, read_text
from finetune.data.errors import DataError
from finetune.data.example import with_trigger
from finetune.data.pictures import decode
from workbench.store.files import write_atomically

UNDO_STEPS = 200


class CaptionBook:
    """The captions below one folder, or of one metadata file.

    Args:
        path: a folder of pictures, or a metadata.jsonl.

    Raises:
        DataError: it is not there, holds no picture, or its metadata is broken.
    """

    def __init__(self, path: Path | str) -> None:
        source = Source(path=str(path))
        self._entries: dict[str, Entry] = {entry.id: entry for entry in find_entries(source)}
        if any(entry.caption_file is None for entry in self._entries.values()):
            raise DataError(f"The captions of {str(path)!r} are in a table.", "Only folders and .jsonl can be edited.")
        self._column = source.caption_column
        self._saved: dict[str, str] = self._read()
        self._texts = dict(self._saved)
        self._undo: list[dict[str, str]] = []  # what each step replaced

    @property
    def ids(self) -> tuple[str, ...]:
        """Pictures, in order."""
        return tuple(self._entries)

    @property
    def captions(self) -> Mapping[str, str]:
        """The captions as they are now, by picture."""
        return dict(self._texts)

    @property
    def changed(self) -> tuple[str, ...]:
        """Pictures whose caption is not saved."""
        return tuple(name for name in self._texts if self._texts[name] != self._saved[name])

    def picture(self, name: str) -> Image.Image | None:
        """The picture `name`; None when there is none. Raises `PictureError` when it cannot be decoded."""
        return decode(self._entries[name].picture) if name in self._entries else None

    def set(self, name: str, text: str) -> int:
        """Give one picture another caption."""
        return self._change([name], lambda _: text)

    def replace(self, names: Iterable[str], find: str, by: str) -> int:
        """Replace a text wherever it stands.

        Returns:
            How many captions were changed; so do all of these.

        Raises:
            DataError: there is nothing to find.
        """
        if not find:
            raise DataError("There is nothing to find.", "Write the text that is to be replaced.")
        return self._change(names, lambda text: text.replace(find, by))

    def prefix(self, names: Iterable[str], text: str) -> int:
        """Put `text` before captions that do not begin with it."""
        return self._change(names, lambda old: old if old.startswith(text) else text + old)

    def suffix(self, names: Iterable[str], text: str) -> int:
        """Put `text` after captions that do not end with it."""
        return self._change(names, lambda old: old if old.endswith(text) else old + text)

    def trigger(self, names: Iterable[str], word: str, template: str = "{trigger}, {caption}") -> int:
        """Put the trigger word where training would put it; regularisation pictures are left out.

        Raises:
            DataConfigError: the template does not hold {trigger} and {caption}.
            DataError: there is no word.
        """
        if not word.strip():
            raise DataError("There is no trigger word.", f"Write one; it also replaces {PLACEHOLDER}.")
        config = DataConfig.parse({"path": ".", "trigger": word.strip(), "trigger_template": template})
        own = [name for name in names if not self._entries[name].source.regularisation]
        return self._change(own, lambda old: with_trigger(old, config) if old else word.strip())

    def undo(self) -> int:
        """Take the last step back; 0 when there is none."""
        if not self._undo:
            return 0
        step = self._undo.pop()
        self._texts.update(step)
        return len(step)

    def save(self) -> list[Path]:
        """Write what was changed.

        Returns:
            The files that were written.

        Raises:
            DataError: a caption was changed on disk since it was read; nothing is written.
            StoreError: a file cannot be written; those before it are.
        """
        changed = self.changed
        on_disk = self._read()
        for name in changed:
            if on_disk[name] != self._saved[name]:
                raise DataError(
                    f"The caption of {name!r} was changed on disk meanwhile.", "Open the folder again and repeat."
                )
        files: dict[Path, list[str]] = defaultdict(list)
        for name in changed:
            path = self._entries[name].caption_file
            assert path is not None  # refused in __init__
            files[path].append(name)
        for path, names in files.items():
            if path.suffix == ".jsonl":
                write_atomically(path, self._metadata(path, names).encode())
            else:
                write_atomically(path, f"{self._texts[names[0]]}\n".encode())
            self._saved.update({name: self._texts[name] for name in names})
        return list(files)

    def _change(self, names: Iterable[str], edit: Callable[[str], str]) -> int:
        step = {name: self._texts[name] for name in names if edit(self._texts[name]) != self._texts[name]}
        if step:
            self._texts.update({name: edit(old) for name, old in step.items()})
            self._undo = [*self._undo[1 - UNDO_STEPS :], step]
        return len(step)

    def _read(self) -> dict[str, str]:
        """The captions on disk."""
        texts: dict[str, str] = {}
        tables: dict[Path, dict[str, str]] = {}
        for name, entry in self._entries.items():
            path = entry.caption_file
            assert path is not None
            if path.suffix == ".jsonl":
                rows = tables.setdefault(path, self._rows(path))
                texts[name] = rows.get(_file_name(entry, path), "")
            else:
                texts[name] = read_text(path).strip() if path.is_file() else ""
        return texts

    def _rows(self, path: Path) -> dict[str, str]:
        rows = (json.loads(line) for line in read_text(path).splitlines() if line.strip())
        return {PurePosixPath(row["file_name"]).as_posix(): _joined(row.get(self._column)) for row in rows}

    def _metadata(self, path: Path, names: list[str]) -> str:
        """The metadata file with the captions of `names` changed, all other lines as they are."""
        wanted = {_file_name(self._entries[name], path): self._texts[name] for name in names}
        lines = []
        for line in read_text(path).splitlines():
            row = json.loads(line) if line.strip() else {}
            name = PurePosixPath(row.get("file_name", "")).as_posix()
            if name in wanted:
                text = wanted[name]
                row[self._column] = text.splitlines() if isinstance(row.get(self._column), list) else text
                lines.append(json.dumps(row, ensure_ascii=False))
            else:
                lines.append(line)
        return "\n".join(lines) + "\n"


def _file_name(entry: Entry, metadata: Path) -> str:
    """The name that a metadata file gives to the picture of `entry`."""
    return Path(entry.picture.label).relative_to(metadata.parent).as_posix()


def _joined(value: object) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")
