"""The catalog: models and adapters by name, identified from their files and never from what they are called."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from workbench.errors import CompanionError, ModelError, nearest
from workbench.models.checkpoint import INDEXES, index_of, read_header, refuse_pickle
from workbench.models.companions import COMPANIONS, companion_files
from workbench.models.device import choose_device, default_precision
from workbench.models.fingerprint import FileHashes
from workbench.models.folders import identify
from workbench.models.inputs import Input, Inputs
from workbench.models.model import Model

T = TypeVar("T")

__all__ = ["EMBEDDED", "Model", "ModelCatalog", "identify"]

EMBEDDED = Path(__file__).parent.parent / "nano" / "weights"
"""Folder of the models shipped with the package."""


class ModelCatalog:
    """Finds models and adapters: in `extra`, in `home`, and shipped with the package; the first found by a name wins.

    Args:
        home: the workbench's folder; models in `home/models`, adapters in `home/adapters`, file hashes in `home/cache`.
        extra: another folder of diffusers folders.
        device: the device setting, which decides the default precision.
        recheck: seconds for which an answer is given again without looking at the disk, so that the ten thousand
            recipes of a grid are resolved quickly.
    """

    def __init__(self, home: Path, extra: Path | None = None, *, device: str = "auto", recheck: float = 1.0) -> None:
        self.home, self.extra, self._device, self._recheck = Path(home), extra, device, recheck
        self.inputs = Inputs(self.home)
        self._hashes = FileHashes(self.home / "cache")
        self._seen: dict[str, tuple[object, Model]] = {}
        self._answers: dict[tuple[str, str], tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def model(self, name: str) -> Model:
        """The model called `name`, or the one in the local diffusers folder `name`.

        Raises:
            ModelError: unknown name (with the nearest known one), or a folder that cannot be used.
        """
        return self._lately("model", name, self._model)

    def _model(self, name: str) -> Model:
        folder = self._folder(name)
        if folder is None:
            if Path(name).expanduser().is_dir():
                raise ModelError(
                    f"The folder {name} has no model_index.json.", "Name a folder in the diffusers layout."
                )
            raise ModelError(f"There is no model {name!r}.", self._remedy(name))
        return self._identify(name, folder)

    def models(self) -> list[Model]:
        """Every usable model, by name; `broken` says what is wrong with the others."""
        usable = []
        for name, folder in self._folders().items():
            try:
                usable.append(self._identify(name, folder))
            except ModelError:
                continue
        return usable

    def broken(self) -> dict[str, ModelError]:
        """Folders that look like models but cannot be used, with the reason."""
        reasons = {}
        for name, folder in self._folders().items():
            try:
                self._identify(name, folder)
            except ModelError as error:
                reasons[name] = error
        return reasons

    def adapters(self) -> list[str]:
        """Names of the adapters in `home/adapters`."""
        return sorted(path.stem for path in (self.home / "adapters").glob("*.safetensors"))

    def adapter_path(self, name: str) -> Path:
        """The safetensors file of the adapter called `name`, or `name` itself when it is the path of one.

        Raises:
            ModelError: unknown name, a pickle, or a file that is cut short.
        """
        return self._lately("adapter", name, self._adapter)

    def _adapter(self, name: str) -> Path:
        path = self.home / "adapters" / f"{name}.safetensors"
        if Path(name).name != name or not path.is_file():
            path = Path(name).expanduser()
            refuse_pickle(path)
            if not path.is_file():
                known = self.adapters()
                remedy = nearest(name, known) if known else f"Put its file into {self.home / 'adapters'}."
                raise ModelError(f"There is no adapter {name!r}.", remedy)
        read_header(path)
        return path

    def adapter_fingerprint(self, name: str) -> str:
        """SHA-256 of the adapter's file.

        Raises:
            ModelError: as `adapter_path`.
        """
        return self._lately("fingerprint", name, lambda name: self._hashes.of(self.adapter_path(name)))

    def companion(self, name: str) -> Path:
        """The folder of a model that others need, such as Redux or a depth estimator.

        Raises:
            CompanionError: it is not there, with the repository to get it from.
        """
        places = [source / name for source in self._sources()]
        found = next((place for place in places if place.is_dir()), None)
        if found is None:
            raise CompanionError(
                f"This recipe needs the model {name}, which is not there.",
                f"Download {COMPANIONS.get(name, name)} from Hugging Face into {self.home / 'models' / name}.",
            )
        return found

    def companion_fingerprint(self, name: str) -> str:
        """SHA-256 over the files of a companion model that decide pixels.

        Raises:
            CompanionError: it is not there.
            ModelError: its weights are no safetensors files.
        """
        return self._lately("companion", name, self._companion_fingerprint)

    def _companion_fingerprint(self, name: str) -> str:
        folder = self.companion(name)
        return self._hashes.of_tree(folder, companion_files(folder), name)

    def picture(self, name: str, *, mask: bool = False) -> Input:
        """The reference, image or mask at the path `name` or of the digest `name`, kept in `home/inputs`.

        Raises:
            InputError: it is missing or cannot be used.
        """
        return self.inputs.find(name, mask=mask)

    def _lately(self, kind: str, name: str, find: Callable[[str], T]) -> T:
        """The answer of `find`, or the one it gave less than `recheck` seconds ago. Errors are not kept."""
        now = time.monotonic()
        when, answer = self._answers.get((kind, name), (-math.inf, None))
        if now - when >= self._recheck:
            answer = find(name)
            self._answers[kind, name] = now, answer
        return cast("T", answer)

    def _folder(self, name: str) -> Path | None:
        """The model folder of a name or path, without listing all models."""
        own = Path(name)
        inside = not own.is_absolute() and len(own.parts) <= 2 and ".." not in own.parts
        places = [Path(source) / own for source in self._sources() if inside] + [own.expanduser()]
        return next((place for place in places if index_of(place)), None)

    def _sources(self) -> list[Path]:
        return [source for source in (self.extra, self.home / "models", EMBEDDED) if source is not None]

    def _folders(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for source in self._sources():
            for name, folder in _candidates(source):
                if folder.name not in COMPANIONS:
                    found.setdefault(name, folder)
        return dict(sorted(found.items()))

    def _remedy(self, name: str) -> str:
        known = self._folders()
        where = f"Put a diffusers folder into {self.home / 'models'} or give its path."
        return f"{nearest(name, known)} {where}" if known else where

    def _identify(self, name: str, folder: Path) -> Model:
        precision = default_precision(choose_device(self._device))
        stamp = (folder, precision, *_stamp(folder))
        with self._lock:
            seen = self._seen.get(name)
            if seen and seen[0] == stamp:
                return seen[1]
        model = identify(name, folder, precision, self._hashes)
        with self._lock:
            self._seen[name] = (stamp, model)
        return model


def _candidates(source: Path) -> Iterator[tuple[str, Path]]:
    """Folders with an index one or two levels below `source`, named by their relative path."""
    for pattern in ("*/", "*/*/"):
        for index in sorted(path for name in INDEXES for path in Path(source).glob(pattern + name)):
            name = index.parent.relative_to(source).as_posix()
            if not name.startswith("."):  # what is being pulled or removed is no model
                yield name, index.parent


def _stamp(folder: Path) -> list[tuple[str, int, int]]:
    """What changes when a file of the folder changes: path, size, modification time."""
    paths = [*folder.glob("*.json"), *folder.glob("*/*")]
    statuses = [(str(path), path.stat()) for path in sorted(paths) if path.is_file()]
    return [(path, status.st_size, status.st_mtime_ns) for path, status in statuses]
