"""What an adapter file holds, read from its header alone: no tensor is loaded, whatever the file's size.

Every dialect of `workbench.models.dialects` is known. Without any alpha the scale is 1 (alpha = rank).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.errors import ModelError
from workbench.models.checkpoint import read_header
from workbench.models.dialects.identify import Identity, Kind, identify
from workbench.models.dialects.names import Dialect, split_key

MAX_HEADER = 16 * 1024 * 1024  # bytes; the header of an adapter over every layer of the largest model is below 1 MB

Alpha = Literal["tensor", "metadata", "absent"]


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """The change of one linear layer as the file has it; `rank` is None where it is not one product B A."""

    rank: int | None
    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """One adapter file, as its header describes it."""

    path: Path
    file_bytes: int
    identity: Identity
    dialect: Dialect
    kind: Kind
    keys: int  # tensors in the file
    dtypes: tuple[str, ...]  # as safetensors spells them: F32, F16, BF16 ...
    alpha: Alpha  # where the scale is written
    modules: Mapping[str, ModuleInfo]  # by module name in the file's own spelling, without the prefix
    parameters: int  # values in all matrices together
    other_keys: tuple[str, ...]  # tensors that belong to no change of a transformer's layer
    metadata: Mapping[str, str]

    @property
    def ranks(self) -> dict[int, int]:
        """Number of modules of each rank, by rising rank."""
        counts: dict[int, int] = defaultdict(int)
        for module in self.modules.values():
            if module.rank is not None:
                counts[module.rank] += 1
        return dict(sorted(counts.items()))


def read_info(path: Path | str) -> AdapterInfo:
    """Describe the adapter in the safetensors file `path`.

    Raises:
        ModelError: no readable safetensors file, a header past 16 MiB, no adapter, half a change, or matrices that do
            not belong together.
    """
    path = Path(path).expanduser()
    _check_header_size(path)
    header = read_header(path)
    metadata = _metadata(path)
    identity = identify(header, metadata)
    groups: dict[str, dict[str, list[int]]] = defaultdict(dict)
    parameters, alpha, others = 0, "absent", list(identity.text_encoder)
    for name, entry in header.items():
        key = split_key(name)
        if key is None:
            others += [] if name in identity.text_encoder else [name]
        elif key.part == "alpha":
            alpha = "tensor"
        else:
            groups[key.module][key.part] = _shape(path, name, entry)
            parameters += _count(entry)
    if not groups or identity.dialect is None or identity.kind is None:
        raise ModelError(
            f"The file {path} holds no adapter: none of its {len(header)} tensors is named like one.",
            "Name the adapter's .safetensors file, not a model's.",
        )
    if alpha == "absent" and _has_alpha(metadata):
        alpha = "metadata"
    return AdapterInfo(
        path=path,
        file_bytes=path.stat().st_size,
        identity=identity,
        dialect=identity.dialect,
        kind=identity.kind,
        keys=len(header),
        dtypes=tuple(sorted({str(entry.get("dtype")) for entry in header.values()})),
        alpha=alpha,  # type: ignore[arg-type]
        modules={name: _module(path, name, parts) for name, parts in sorted(groups.items())},
        parameters=parameters,
        other_keys=tuple(sorted(others)),
        metadata=metadata,
    )


def _check_header_size(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
    except OSError:
        return  # `read_header` says what is wrong
    if MAX_HEADER < length <= path.stat().st_size:
        raise ModelError(
            f"The header of {path} has {length:,} bytes; no adapter needs more than {MAX_HEADER:,}.",
            "Check where the file comes from.",
        )


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as stream:
            return dict(sorted((stream.metadata() or {}).items()))
    except SafetensorError as error:
        raise ModelError(
            f"The file {path} is not a readable safetensors file: {error}.", "Download or copy the file again."
        ) from None


def _shape(path: Path, name: str, entry: Mapping[str, Any]) -> list[int]:
    shape = entry.get("shape")
    known = isinstance(shape, list) and all(isinstance(side, int) and side > 0 for side in shape)
    if not known or len(shape or ()) not in (1, 2) or (len(shape or ()) == 1 and not _is_magnitude(name)):
        raise ModelError(f"The tensor {name} in {path} is no matrix: {shape}.", "Only linear layers can be changed.")
    return list(shape or ())


def _is_magnitude(name: str) -> bool:
    key = split_key(name)
    return key is not None and key.part == "magnitude"


def _count(entry: Mapping[str, Any]) -> int:
    total = 1
    for side in entry["shape"]:
        total *= side
    return total


def _module(path: Path, name: str, parts: Mapping[str, list[int]]) -> ModuleInfo:
    if "down" in parts and "up" in parts:
        (rank, in_features), (out_features, inner) = parts["down"], parts["up"]
        if rank != inner:
            raise ModelError(
                f"The two matrices for {name} in {path} have ranks {rank} and {inner}.", "Export the adapter again."
            )
        return ModuleInfo(rank, in_features, out_features)
    for stem, product in (("lokr", True), ("hada", False)):
        left, right = (_outer(parts, f"{stem}_w{number}") for number in (1, 2))
        if left and right:
            rows, columns = (left[0] * right[0], left[1] * right[1]) if product else left
            return ModuleInfo(None, columns, rows)
    if "diff" in parts:
        return ModuleInfo(None, parts["diff"][1], parts["diff"][0])
    raise ModelError(f"The adapter {path} has only half of its change of {name}.", "Export the adapter again.")


def _outer(parts: Mapping[str, list[int]], name: str) -> tuple[int, int] | None:
    """Rows and columns of a factor that is whole or a product."""
    if name in parts:
        return parts[name][0], parts[name][1]
    if f"{name}_a" in parts and f"{name}_b" in parts:
        return parts[f"{name}_a"][0], parts[f"{name}_b"][1]
    return None


def _has_alpha(metadata: Mapping[str, str]) -> bool:
    """Whether diffusers' or sd-scripts' metadata states an alpha."""
    if "ss_network_alpha" in metadata:
        return True
    try:
        settings = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        return False
    return isinstance(settings, dict) and any(key.endswith("lora_alpha") for key in settings)
