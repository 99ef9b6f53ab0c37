"""What a LoRA file holds, read from its header alone: no tensor is loaded, whatever the file's size.

Three namings are in use for the same matrices A (rank, in) and B (out, rank):

    diffusers, peft     transformer.<module>.lora_A.weight           alpha in the metadata, or none
    original            diffusion_model.<module>.lora_A.weight       alpha as a tensor, or none
    kohya               lora_unet_<module_with_underscores>.lora_down.weight + .alpha

Without any alpha the scale is 1 (alpha = rank).
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

MAX_HEADER = 16 * 1024 * 1024  # bytes; the header of an adapter over every layer of the largest model is below 1 MB

Naming = Literal["diffusers", "original", "kohya"]
Alpha = Literal["tensor", "metadata", "absent"]

_PREFIXES: Mapping[str, Naming] = {
    "transformer.": "diffusers",
    "diffusion_model.": "original",
    "lora_unet_": "kohya",
}
_DOWN = (".lora_A.weight", ".lora_A.default.weight", ".lora_down.weight", ".lora.down.weight")
_UP = (".lora_B.weight", ".lora_B.default.weight", ".lora_up.weight", ".lora.up.weight")
_ALPHA = ".alpha"


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """The change of one linear layer: B A, with A of (rank, in_features) and B of (out_features, rank)."""

    rank: int
    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """One adapter file, as its header describes it."""

    path: Path
    file_bytes: int
    naming: Naming
    keys: int  # tensors in the file
    dtypes: tuple[str, ...]  # as safetensors spells them: F32, F16, BF16 ...
    alpha: Alpha  # where the scale is written
    modules: Mapping[str, ModuleInfo]  # by module name, without the prefix
    other_keys: tuple[str, ...]  # tensors that belong to no pair of A and B
    metadata: Mapping[str, str]

    @property
    def ranks(self) -> dict[int, int]:
        """Number of modules of each rank, by rising rank."""
        counts: dict[int, int] = defaultdict(int)
        for module in self.modules.values():
            counts[module.rank] += 1
        return dict(sorted(counts.items()))

    @property
    def parameters(self) -> int:
        """Values in all A and B together."""
        return sum(module.rank * (module.in_features + module.out_features) for module in self.modules.values())


def read_info(path: Path | str) -> AdapterInfo:
    """Describe the LoRA in the safetensors file `path`.

    Raises:
        ModelError: no readable safetensors file, a header past 16 MiB, no pair of LoRA matrices, half a pair, or
            matrices that do not belong together.
    """
    path = Path(path).expanduser()
    _check_header_size(path)
    header = read_header(path)
    metadata = _metadata(path)
    pairs: dict[str, dict[str, list[int]]] = defaultdict(dict)
    others = []
    alpha: Alpha = "absent"
    for key, entry in header.items():
        module, part = _split(key)
        if part in ("down", "up"):
            pairs[module][part] = _shape(path, key, entry)
        elif part == "alpha":
            alpha = "tensor"
        else:
            others.append(key)
    if not pairs:
        raise ModelError(
            f"The file {path} holds no LoRA: none of its {len(header)} tensors is named like one.",
            "Name the adapter's .safetensors file, not a model's.",
        )
    if alpha == "absent" and _has_alpha(metadata):
        alpha = "metadata"
    return AdapterInfo(
        path=path,
        file_bytes=path.stat().st_size,
        naming=_naming(path, pairs),
        keys=len(header),
        dtypes=tuple(sorted({str(entry.get("dtype")) for entry in header.values()})),
        alpha=alpha,
        modules={_strip(name): _module(path, name, parts) for name, parts in sorted(pairs.items())},
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


def _split(key: str) -> tuple[str, str]:
    """Module with its prefix, and 'down', 'up', 'alpha' or ''."""
    for endings, part in ((_DOWN, "down"), (_UP, "up"), ((_ALPHA,), "alpha")):
        for ending in endings:
            if key.endswith(ending):
                return key.removesuffix(ending), part
    return key, ""


def _shape(path: Path, key: str, entry: Mapping[str, Any]) -> list[int]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ModelError(f"The tensor {key} in {path} is no matrix: {shape}.", "Only LoRA of linear layers is known.")
    return shape


def _module(path: Path, name: str, parts: Mapping[str, list[int]]) -> ModuleInfo:
    if len(parts) != 2:
        raise ModelError(f"The adapter {path} has only half of its change of {name}.", "Export the adapter again.")
    (rank, in_features), (out_features, inner) = parts["down"], parts["up"]
    if rank != inner:
        raise ModelError(
            f"The two matrices for {name} in {path} have ranks {rank} and {inner}.", "Export the adapter again."
        )
    return ModuleInfo(rank, in_features, out_features)


def _naming(path: Path, modules: Mapping[str, Any]) -> Naming:
    found = {naming for module in modules for prefix, naming in _PREFIXES.items() if module.startswith(prefix)}
    if len(found) != 1 or not all(module.startswith(tuple(_PREFIXES)) for module in modules):
        raise ModelError(
            f"The adapter {path} follows no known naming: {next(iter(modules))!r}.",
            f"Known prefixes: {', '.join(_PREFIXES)}.",
        )
    return found.pop()


def _strip(module: str) -> str:
    for prefix in _PREFIXES:
        if module.startswith(prefix):
            return module.removeprefix(prefix)
    raise AssertionError(module)  # `_naming` has refused it


def _has_alpha(metadata: Mapping[str, str]) -> bool:
    """Whether diffusers' or sd-scripts' metadata states an alpha."""
    if "ss_network_alpha" in metadata:
        return True
    try:
        settings = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        return False
    return isinstance(settings, dict) and any(key.endswith("lora_alpha") for key in settings)
