"""Reading a diffusers folder without loading it: JSON files and safetensors headers only.

A folder is refused here, before any weight is read, when a component is missing, a weight file is cut short, or weights
are pickled (a pickle can run code when opened, so only safetensors are ever loaded).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ModelError

INDEXES = ("model_index.json", "modular_model_index.json")  # of a pipeline, of a modular one
PICKLES = (".bin", ".pt", ".ckpt", ".pth", ".pkl")
INTEGERS = ("BOOL", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")  # of a safetensors header
_MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format itself
_CONVERT = "Convert it to safetensors, or download the safetensors files of the model."
_AGAIN = "Download or copy the file again."

# Files of a component that decide pixels; others (read-me, generation settings) may change freely.
DECIDING = (
    "config.json",
    "scheduler_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "spiece.model",
    "preprocessor_config.json",
)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        ModelError: the file is absent, unreadable or no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"The model file {path} is missing.", "Copy the whole model folder again.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"The model file {path} cannot be read: {error}.", _AGAIN) from None
    if not isinstance(values, dict):
        raise ModelError(f"The model file {path} holds no JSON object.", _AGAIN)
    return values


def index_of(folder: Path) -> Path | None:
    """The index file of a model folder, or None where there is none."""
    return next((folder / name for name in INDEXES if (folder / name).is_file()), None)


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Names, dtypes and shapes of the tensors in a safetensors file, checked against the file's size.

    Layout: 8 bytes little-endian header length, JSON header, tensor data. Source:
    https://github.com/huggingface/safetensors#format.

    Raises:
        ModelError: a pickle, no safetensors file, or a file that is cut short.
    """
    refuse_pickle(path)
    cut = ModelError(f"The weight file {path} is incomplete: it is shorter than its own header says.", _AGAIN)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or 8 + length > size:
                raise cut
            if length > _MAX_HEADER:
                raise ModelError(f"The file {path} is not a safetensors file.", _CONVERT)
            header = json.loads(stream.read(length))
    except FileNotFoundError:
        raise ModelError(f"The weight file {path} is missing.", _AGAIN) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"The weight file {path} is not a readable safetensors file: {error}.", _CONVERT) from None
    if not isinstance(header, dict):
        raise ModelError(f"The file {path} is not a safetensors file.", _CONVERT)
    header.pop("__metadata__", None)
    try:
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (KeyError, IndexError, TypeError, ValueError):
        raise ModelError(f"The header of {path} is not a safetensors header.", _CONVERT) from None
    if 8 + length + end != size:
        raise cut
    return header


def refuse_pickle(path: Path) -> None:
    """Raise when the name of `path` is that of a pickle.

    Raises:
        ModelError: always for .bin, .pt, .ckpt, .pth, .pkl.
    """
    if path.suffix.lower() in PICKLES:
        raise ModelError(f"The weight file {path} is a pickle, which can run code when opened.", _CONVERT)


def component_weights(folder: Path) -> list[Path]:
    """The safetensors files of one component: the single file, or every shard that its index names.

    Raises:
        ModelError: none is there, only pickles are there, or a shard is missing.
    """
    for index in sorted(folder.glob("*.safetensors.index.json")):
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, Mapping) or not all(isinstance(name, str) for name in shards.values()):
            raise ModelError(f"The index {index} has no usable weight map.", _AGAIN)
        paths = [folder / name for name in sorted(set(shards.values()))]
        for path in paths:
            if path.parent != folder or path.suffix != ".safetensors":
                raise ModelError(f"The index {index} names {path.name!r}, which is no safetensors file of it.", _AGAIN)
            read_header(path)
        return paths
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.gguf")])
    if not files:
        for path in sorted(folder.iterdir()):
            refuse_pickle(path)
        raise ModelError(f"The model component {folder} has no weights.", "Copy the whole model folder again.")
    for path in files:
        if path.suffix == ".gguf":
            from workbench.models.identify import read

            read(path)
        else:
            read_header(path)
    return files


def deciding_files(folder: Path, components: Mapping[str, str]) -> list[Path]:
    """All files of `components` below `folder` that decide pixels, weights included.

    Raises:
        ModelError: a component is missing or its weights are unusable.
    """
    files: list[Path] = []
    for name in components:
        part = folder / name
        if not part.is_dir():
            raise ModelError(f"The model {folder} lacks its {name!r} folder.", "Copy the whole model folder again.")
        if not name.startswith(("tokenizer", "scheduler", "feature_extractor")):
            files += component_weights(part)
            files += sorted(part.glob("*.safetensors.index.json"))
        configs = [part / known for known in DECIDING if (part / known).is_file()]
        if not configs:
            raise ModelError(f"The model component {part} has no configuration.", "Copy the whole model folder again.")
        files += configs
    return files
