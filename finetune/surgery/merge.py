"""Several adapters as one, and adapters written into a model's weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor

from finetune.formats.load import AdapterFile
from finetune.surgery.lowrank import Cut, SurgeryError, cut_product, weighted_sum
from finetune.surgery.resize import Resized, summed
from workbench import __version__
from workbench.models.adapters import read_adapter
from workbench.models.checkpoint import component_weights, deciding_files, read_header, read_json
from workbench.models.dialects.changes import LowRank
from workbench.models.dialects.read import Reading
from workbench.store.files import cannot_write, make_folder, write_atomically


def merge_adapters(adapters: Sequence[tuple[AdapterFile, float]], cut: Cut | None = None) -> Resized:
    """Sum of weight * change over several adapters of one architecture.

    Args:
        adapters: with their weights; a module that only some change is taken from those.
        cut: reduce the sum, whose rank is otherwise the sum of the ranks.

    Raises:
        SurgeryError: fewer than one, adapters of different architectures, or layers of different shapes.
        ModelError: an adapter that is no product of two thin matrices (see `AdapterFile.low_rank`).
    """
    if not adapters:
        raise SurgeryError("There is nothing to merge.", "Name at least one adapter.")
    names = {file.architecture.name if file.architecture else None for file, _ in adapters}
    if len(names) > 1:
        made_for = "; ".join(f"{file.path.name} for {file.identity.title}" for file, _ in adapters)
        raise SurgeryError(f"The adapters are for different models: {made_for}.", "Merge adapters of one model.")
    groups: dict[str, list[tuple[LowRank, float]]] = {}
    for file, weight in adapters:
        for module, change in file.low_rank().items():
            others = groups.setdefault(module, [])
            if others and others[0][0].shape != change.shape:
                raise SurgeryError(
                    f"The adapter {file.path} sees {module} as {change.shape[0]} x {change.shape[1]}, the first as "
                    f"{others[0][0].shape[0]} x {others[0][0].shape[1]}.",
                    "Merge adapters of one model.",
                )
            others.append((change, weight))
    sums = {module: weighted_sum(parts) for module, parts in sorted(groups.items())}
    if cut is None:
        return Resized(sums, dict.fromkeys(sums, 1.0), 1.0)
    return summed({module: cut_product(change, cut) for module, change in sums.items()})


def merge_into(model: Path, adapters: Sequence[tuple[Path, float]], out: Path) -> list[Reading]:
    """Write a copy of the model folder `model` with the adapters in its transformer's weights.

    Sums are in float32 and rounded once to each weight's own precision. One weight file is in memory at a time. The
    folder appears whole or not at all; `merged.json` in it says what it was made from.

    Args:
        model: a diffusers folder.
        adapters: files of any dialect, with their weights.
        out: the new folder.

    Returns:
        What was read of each adapter.

    Raises:
        ModelError: the model is incomplete, or an adapter does not fit it.
        SurgeryError: `out` is there already.
        StoreError: `out` cannot be written.
    """
    if out.exists():
        raise SurgeryError(f"There is something at {out} already.", "Name a folder that does not exist.")
    index = read_json(model / "model_index.json")
    components = {name: "" for name, value in index.items() if isinstance(value, list) and value[0] is not None}
    deciding_files(model, components)  # refuses pickles and missing parts before anything is copied
    weights = component_weights(model / "transformer")
    shapes = linear_shapes(weights)
    readings = [read_adapter(path, shapes) for path, _ in adapters]
    make_folder(out.parent)
    temporary = out.with_name(f".{out.name[:100]}.{uuid4().hex}.tmp")
    try:
        shutil.copytree(model, temporary, ignore=_large(model, weights))
        for path in weights:
            changes = [(reading, weight) for reading, (_, weight) in zip(readings, adapters, strict=True)]
            _merge_file(path, temporary / "transformer" / path.name, changes)
        write_atomically(temporary / "merged.json", _origin(model, adapters))
        temporary.replace(out)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return readings


def linear_shapes(weights: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """(out, in) of every matrix in safetensors files, by module name."""
    return {
        key.removesuffix(".weight"): (entry["shape"][0], entry["shape"][1])
        for path in weights
        for key, entry in read_header(path).items()
        if key.endswith(".weight") and len(entry["shape"]) == 2
    }


def _merge_file(source: Path, target: Path, changes: Sequence[tuple[Reading, float]]) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    with safe_open(source, framework="pt") as stream:
        metadata = stream.metadata()
        for key in stream.keys():  # noqa: SIM118 (no mapping)
            base = stream.get_tensor(key)
            module = key.removesuffix(".weight")
            acting = [(each.changes[module], weight) for each, weight in changes if module in each.changes]
            tensors[key] = base
            if acting and key.endswith(".weight"):
                total = base.to(torch.float32, copy=True)
                for change, weight in acting:
                    total += weight * change.delta(base)
                tensors[key] = total.to(base.dtype)
    save_file(tensors, target, metadata)


def _large(model: Path, weights: Sequence[Path]) -> Callable[[Any, list[str]], set[str]]:
    """Leaves the transformer's weights and the hub's own cache out of the copy."""

    def ignore(folder: Any, names: list[str]) -> set[str]:
        left = {path.name for path in weights} if Path(folder) == model / "transformer" else set()
        return left | ({".cache", ".git"} & set(names))

    return ignore


def _origin(model: Path, adapters: Sequence[tuple[Path, float]]) -> bytes:
    facts: Mapping[str, object] = {
        "base": model.name,
        "adapters": [{"file": path.name, "weight": weight} for path, weight in adapters],
        "software": f"finetune {__version__}",
    }
    return (json.dumps(facts, indent=2) + "\n").encode()
