"""What a folder in the diffusers layout is, from its JSON files and safetensors headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import ModelError
from workbench.models.checkpoint import INDEXES, deciding_files, index_of, read_json
from workbench.models.families import FAMILIES, Family
from workbench.models.fingerprint import FileHashes
from workbench.models.identify.header import read
from workbench.models.identify.precision import numbers
from workbench.models.model import Model
from workbench.recipe import Precision

SOURCE = "workbench-source.json"
"""File in a model's folder that says where it came from."""


def identify(name: str, folder: Path, precision: Precision, hashes: FileHashes) -> Model:
    """Say what the diffusers folder `folder` is, from its JSON files and safetensors headers alone.

    Raises:
        ModelError: a pipeline class that is not supported, a missing component, unusable weights.
    """
    index = read_json(index_of(folder) or folder / INDEXES[0])
    family = _family(folder, index)
    files = deciding_files(folder, family.stored)
    weights = [path for path in files if path.suffix in (".safetensors", ".gguf")]
    transformer = [path for path in weights if path.parent.name == family.denoiser]
    return Model(
        name=name,
        path=folder,
        family=family,
        is_distilled=bool(index.get("is_distilled", False)) if family.distilled is None else family.distilled,
        precision=precision,
        revision=_revision(folder),
        repository=str(_note(folder).get("repository", "")),
        parameters=sum(numbers(read(path)).parameters for path in transformer),
        weight_bytes=sum(path.stat().st_size for path in weights),
        max_sequence_length=_text_length(folder, family),
        _files=tuple(files),
        _hashes=hashes,
    )


def _family(folder: Path, index: dict[str, Any]) -> Family:
    """The family whose pipeline is named, whose transformer it has and whose text layers exist, the deepest that fits."""
    pipeline = str(index.get("_class_name", ""))
    rows = [row for row in FAMILIES.values() if row.pipeline == pipeline]
    if not rows:
        supported = ", ".join(sorted({row.pipeline for row in FAMILIES.values()}))
        raise ModelError(
            f"The model {folder} is made for {pipeline or 'an unnamed pipeline'}.", f"Supported: {supported}."
        )
    named = named_components(index)
    for component in rows[0].stored:
        if component not in named:
            raise ModelError(f"The model {folder} lacks its {component!r}.", "Copy the whole model folder again.")
    config = read_json(folder / rows[0].denoiser / "config.json")
    alike = [row for row in rows if all(config.get(key) == value for key, value in row.config.items())]
    encoder = read_json(folder / "text_encoder" / "config.json")
    encoder = encoder.get("text_config", encoder)  # of a model that also sees
    width, depth = int(config.get("joint_attention_dim", 0)), int(encoder.get("num_hidden_layers", 0))
    for row in sorted(alike, key=lambda row: -max(row.text_layers, default=0)):
        layers = row.text_layers
        if not layers or (max(layers) <= depth and width == len(layers) * int(encoder.get("hidden_size", 0))):
            return row
    raise ModelError(
        f"The text encoder of {folder} ({depth} layers) fits no known family whose transformer reads {width} values "
        "a token.",
        "Check that text encoder and transformer belong together.",
    )


def named_components(index: Mapping[str, Any]) -> dict[str, str]:
    """Components that an index names, with the repository that keeps each; empty: the index's own.

    An entry of a pipeline is [library, class], of which [null, null] is left out; one of a modular pipeline has a third
    value that says where the component is, and its class may stand only there.
    """
    found: dict[str, str] = {}
    for name, entry in index.items():
        if not isinstance(entry, list) or len(entry) < 2:
            continue
        place = entry[2] if len(entry) > 2 and isinstance(entry[2], dict) else {}
        if entry[1] is not None or place:
            found[name] = str(place.get("pretrained_model_name_or_path") or "")
    return found


def _text_length(folder: Path, family: Family) -> int:
    """Text tokens that the checkpoint was trained to read, where it says so, else the family's.

    A tokenizer states them as `model_max_length` (more than the family reads means nothing), a model trained by
    `workbench.nano.train` in its recipe.
    """
    last = [name for name in family.components if name.startswith("tokenizer")][-1]  # the one that reads the text whole
    config = folder / last / "tokenizer_config.json"
    stated = read_json(config).get("model_max_length") if config.is_file() else None
    if isinstance(stated, int | float) and 8 <= stated <= family.max_sequence_length:
        return int(stated)
    try:
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
        return int(recipe["text_encoder"]["max_sequence_length"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return family.max_sequence_length


def _revision(folder: Path) -> str:
    """The commit that a folder of the hub's cache is named by, or that `workbench models pull` wrote down."""
    if folder.parent.name == "snapshots":
        return folder.name
    return str(_note(folder).get("revision", ""))


def _note(folder: Path) -> dict[str, Any]:
    """What `workbench models pull` or `add` wrote down."""
    note = folder / SOURCE
    return read_json(note) if note.is_file() else {}
