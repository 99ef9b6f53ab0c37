"""Transformers from single files: other names, other precisions, GGUF.

The tensors are renamed by the table of layers that adapters use (`workbench.models.dialects.layout`): a fused matrix is
split by its rows, halves of modulations are exchanged. What a file keeps in fewer bits stays so in memory; scales of
fp8 files are applied when a layer is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.models.contents import Value, read_files
from workbench.models.dialects.layout import ARCHITECTURES, Architecture, Place
from workbench.models.identify import identify, read
from workbench.models.quantise import Packed, PackedLinear, put

# Names of what is no linear layer, which the table of layers leaves out.
_NORMS = {
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
_STACKS = {
    "double_blocks": "transformer_blocks",
    "single_blocks": "single_transformer_blocks",
    "content_mode_blocks.image": "mode_blocks.image",
    "content_mode_blocks.image_cond": "mode_blocks.image_cond",
    "txt_mode_blocks": "txt_mode_blocks",
}
_BLOCK = re.compile(r"([a-z_.]*_blocks(?:\.image|\.image_cond)?)\.(\d+)\.(.*)\.(scale|weight)$")
_TRAINING = "repa_projectors."  # heads of FLUX.3 that only its training needed


def plain(paths: Sequence[Path]) -> bool:
    """Whether the weights in `paths` are whole numbers under diffusers' names, as its own loader takes them."""
    for path in paths:
        if path.suffix == ".gguf":
            return False
        what = identify(read(path))
        if what.layout == "bfl" or what.numbers.method or what.prefix or "8" in what.numbers.precision:
            return False
    return True


def load_single(cls: Any, folder: Path, paths: Sequence[Path], dtype: torch.dtype) -> nn.Module:
    """A component of diffusers' class `cls` from files that `plain` refuses; its configuration is in `folder`.

    Raises:
        ModelError: tensors are missing, left over or of other shapes.
        ValueError: diffusers does not read the class from single files.
    """
    if cls.__name__.startswith("Autoencoder") and len(paths) == 1:
        options: dict[str, Any] = {"local_files_only": True, "torch_dtype": dtype}
        return cls.from_single_file(str(paths[0]), config=str(folder), **options)  # type: ignore[no-any-return]
    return load_transformer(cls, folder, paths, dtype)


def load_transformer(cls: Any, folder: Path, paths: Sequence[Path], dtype: torch.dtype) -> nn.Module:
    """A transformer of diffusers' class `cls` with the configuration in `folder` and the weights in `paths`.

    Args:
        cls: for example `Flux2Transformer2DModel`.
        folder: has a config.json.
        paths: safetensors or GGUF files under the names of diffusers or of the original code.
        dtype: of everything that is not kept in fewer bits, and of the arithmetic.

    Raises:
        ModelError: tensors are missing, left over or of other shapes.
    """
    module, state = check_names(cls, folder, read_files(paths), paths[0])
    fill(module, state, dtype)
    left = [name for name, value in module.state_dict().items() if value.is_meta]
    assert not left, left  # names and shapes were equal
    return module


def fill(module: nn.Module, state: Mapping[str, Value], dtype: torch.dtype) -> None:
    """Give an empty module its tensors, in place; linear layers that are kept in fewer bits stay so.

    Args:
        module: on the meta device.
        state: all its tensors, with its shapes.
        dtype: of everything else.
    """
    dense: dict[str, Tensor] = {}
    for name, value in state.items():
        if not isinstance(value, Packed):
            dense[name] = value.to(dtype)
            continue
        layer = name.removesuffix(".weight")
        if layer == name or not isinstance(module.get_submodule(layer), nn.Linear):
            dense[name] = value.dense().to(dtype)
            continue
        bias = state.get(f"{layer}.bias")
        put(module, layer, PackedLinear(value, bias if isinstance(bias, Tensor) else None, dtype))
    packed = {name for name, part in module.named_modules() if isinstance(part, PackedLinear)}
    dense = {name: value for name, value in dense.items() if name.rpartition(".")[0] not in packed}
    module.load_state_dict(dense, strict=False, assign=True)


def check_names(cls: Any, folder: Path, state: Mapping[str, Value], path: Path) -> tuple[nn.Module, dict[str, Value]]:
    """An empty transformer of the configuration in `folder`, and `state` under its names, both with the same shapes.

    Raises:
        ModelError: tensors are missing, left over or of other shapes.
    """
    architecture = next((each for each in ARCHITECTURES.values() if each.transformer == cls.__name__), None)
    if architecture is None:
        raise ModelError(f"Single files of {cls.__name__} are not read.", "Use a folder in the diffusers layout.")
    renamed = dict(_renamed(state, architecture))
    with torch.device("meta"):
        module: nn.Module = cls.from_config(cls.load_config(folder, local_files_only=True))
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in renamed.items()}
    if got != expected:
        raise mismatch(path, expected, got)
    return module, renamed


def _renamed(state: Mapping[str, Value], architecture: Architecture) -> Iterator[tuple[str, Value]]:
    """The tensors under diffusers' names; those that have them already stay."""
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        norm = _BLOCK.fullmatch(name)
        if norm and norm[1] in _STACKS and norm[3] in _NORMS:
            yield f"{_STACKS[norm[1]]}.{norm[2]}.{_NORMS[norm[3]]}.weight", value
            continue
        if name.startswith(_TRAINING):
            continue
        place = None if architecture.find(module) else architecture.find_original(module)
        if place is None:
            yield name, value
            continue
        yield from _parts(place, leaf, value)


def _parts(place: Place, leaf: str, value: Value) -> Iterator[tuple[str, Value]]:
    """The parts of a fused layer, row by row; halves exchanged where diffusers keeps them the other way."""
    names, shares = place.diffusers(), place.layer.shares
    if place.layer.swapped:
        whole = value.dense() if isinstance(value, Packed) else value
        value = torch.cat([whole[whole.shape[0] // 2 :], whole[: whole.shape[0] // 2]])
    unit = value.shape[0] // sum(shares)
    start = 0
    for name, share in zip(names, shares, strict=True):
        stop = start + unit * share
        part = value if len(names) == 1 else value.rows(start, stop) if isinstance(value, Packed) else value[start:stop]
        yield f"{name}.{leaf}", part
        start = stop


def mismatch(path: Path, expected: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]]) -> ModelError:
    """What to raise when the tensors of `path` are not the ones, or not of the shapes, that were expected."""
    missing, more = sorted(expected.keys() - got.keys()), sorted(got.keys() - expected.keys())
    if missing or more:
        what = f"{len(missing)} tensors are missing ({', '.join(missing[:3])})" if missing else ""
        rest = f"{len(more)} belong to no layer ({', '.join(more[:3])})" if more else ""
        said = " and ".join(part for part in (what, rest) if part)
    else:
        name = next(name for name in sorted(expected) if expected[name] != got[name])
        said = f"{name} is {got[name]}, but the configuration makes it {expected[name]}"
    return ModelError(f"The file {path} does not fit its configuration: {said}.", "Add it on top of the right model.")
