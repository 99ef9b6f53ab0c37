"""The catalog: models and adapters by name, identified from their files and never from what they are called."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from workbench.conditions import Task
from workbench.errors import ModelError, nearest
from workbench.models.checkpoint import deciding_files, read_header, read_json, refuse_pickle
from workbench.models.device import choose_device, default_precision
from workbench.models.families import FAMILIES, Family
from workbench.models.fingerprint import FileHashes
from workbench.models.inputs import Input, Inputs
from workbench.recipe import Precision

T = TypeVar("T")

EMBEDDED = Path(__file__).parent.parent / "nano" / "weights"
"""Folder of the models shipped with the package."""


@dataclass(frozen=True)
class Model:
    """One checkpoint that can be drawn with: its family's row, and what its own files say.

    Sizes are in pixels. `fingerprint` is computed when first asked for, as it reads the weights.
    """

    name: str
    path: Path
    family: Family
    is_distilled: bool
    precision: Precision
    revision: str  # commit of the hub snapshot the folder is, or ''
    parameters: int  # of the transformer
    weight_bytes: int  # of all components on disk
    max_sequence_length: int  # text tokens read, padding included
    _files: tuple[Path, ...] = field(repr=False)
    _hashes: FileHashes = field(repr=False, compare=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every file that decides pixels."""
        identity = f"{self.family.pipeline} is_distilled={self.is_distilled}"
        return self._hashes.of_tree(self.path, self._files, identity)

    def component_fingerprint(self, *components: str) -> str:
        """SHA-256 over the files of some components, for caches of what only these decide."""
        files = [path for path in self._files if path.relative_to(self.path).parts[0] in components]
        return self._hashes.of_tree(self.path, files)

    @property
    def width(self) -> int:
        """Default width."""
        return self.family.width

    @property
    def height(self) -> int:
        """Default height."""
        return self.family.height

    @property
    def steps(self) -> int:
        """Default number of denoising steps."""
        return self.family.default_steps(distilled=self.is_distilled)

    @property
    def guidance_scale(self) -> float:
        """Default guidance scale; 1 (off) for a step-distilled model."""
        return 1.0 if self.is_distilled else self.family.guidance_scale

    @property
    def size_multiple(self) -> int:
        """Width and height are multiples of this."""
        return self.family.size_multiple

    @property
    def min_side(self) -> int:
        """Smallest width and height."""
        return self.family.min_side

    @property
    def max_side(self) -> int:
        """Largest width and height."""
        return self.family.max_side

    @property
    def max_pixels(self) -> int:
        """Largest product of width and height."""
        return self.family.max_pixels

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it can do."""
        return self.family.tasks

    @property
    def max_references(self) -> int:
        """Most references of one picture."""
        return self.family.max_references

    @property
    def reference_pixels(self) -> int:
        """Largest area at which a reference that is fitted is read."""
        return self.family.reference_pixels


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
        return next((place for place in places if (place / "model_index.json").is_file()), None)

    def _sources(self) -> list[Path]:
        return [source for source in (self.extra, self.home / "models", EMBEDDED) if source is not None]

    def _folders(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for source in self._sources():
            for name, folder in _candidates(source):
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


def identify(name: str, folder: Path, precision: Precision, hashes: FileHashes) -> Model:
    """Say what the diffusers folder `folder` is, from its JSON files and safetensors headers alone.

    Raises:
        ModelError: a pipeline class that is not supported, a missing component, unusable weights.
    """
    index = read_json(folder / "model_index.json")
    family = _family(folder, index)
    files = deciding_files(folder, family.components)
    weights = [path for path in files if path.suffix == ".safetensors"]
    transformer = [path for path in weights if path.parent.name == "transformer"]
    return Model(
        name=name,
        path=folder,
        family=family,
        is_distilled=bool(index.get("is_distilled", False)),
        precision=precision,
        revision=folder.name if folder.parent.name == "snapshots" else "",
        parameters=sum(_elements(entry["shape"]) for path in transformer for entry in read_header(path).values()),
        weight_bytes=sum(path.stat().st_size for path in weights),
        max_sequence_length=_text_length(folder, family),
        _files=tuple(files),
        _hashes=hashes,
    )


def _family(folder: Path, index: dict[str, Any]) -> Family:
    """The family whose pipeline is named and whose text layers exist, the deepest that fits."""
    pipeline = str(index.get("_class_name", ""))
    rows = [row for row in FAMILIES.values() if row.pipeline == pipeline]
    if not rows:
        supported = ", ".join(sorted({row.pipeline for row in FAMILIES.values()}))
        raise ModelError(
            f"The model {folder} is made for {pipeline or 'an unnamed pipeline'}.", f"Supported: {supported}."
        )
    for component in rows[0].components:
        entry = index.get(component)
        if not isinstance(entry, list) or len(entry) != 2 or entry[1] is None:
            raise ModelError(f"The model {folder} lacks its {component!r}.", "Copy the whole model folder again.")
    encoder = read_json(folder / "text_encoder" / "config.json")
    width = int(read_json(folder / "transformer" / "config.json").get("joint_attention_dim", 0))
    depth = int(encoder.get("num_hidden_layers", 0))
    for row in sorted(rows, key=lambda row: -max(row.text_layers)):
        if max(row.text_layers) <= depth and width == len(row.text_layers) * int(encoder.get("hidden_size", 0)):
            return row
    raise ModelError(
        f"The text encoder of {folder} ({depth} layers) fits no known family whose transformer reads {width} values "
        "a token.",
        "Check that text encoder and transformer belong together.",
    )


def _text_length(folder: Path, family: Family) -> int:
    """Text tokens that the checkpoint was trained to read, where it says so, else the family's.

    A tokenizer states them as `model_max_length` (more than the family reads means nothing), a model trained by
    `workbench.nano.train` in its recipe.
    """
    config = folder / "tokenizer" / "tokenizer_config.json"
    stated = read_json(config).get("model_max_length") if config.is_file() else None
    if isinstance(stated, int | float) and 8 <= stated <= family.max_sequence_length:
        return int(stated)
    try:
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
        return int(recipe["text_encoder"]["max_sequence_length"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return family.max_sequence_length


def _candidates(source: Path) -> Iterator[tuple[str, Path]]:
    """Folders with a model_index.json one or two levels below `source`, named by their relative path."""
    for pattern in ("*/model_index.json", "*/*/model_index.json"):
        for index in sorted(Path(source).glob(pattern)):
            yield index.parent.relative_to(source).as_posix(), index.parent


def _stamp(folder: Path) -> list[tuple[str, int, int]]:
    """What changes when a file of the folder changes: path, size, modification time."""
    paths = [*folder.glob("*.json"), *folder.glob("*/*")]
    statuses = [(str(path), path.stat()) for path in sorted(paths) if path.is_file()]
    return [(path, status.st_size, status.st_mtime_ns) for path, status in statuses]


def _elements(shape: list[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
