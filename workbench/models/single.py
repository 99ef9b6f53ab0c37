"""Components from single files: other names, other precisions, GGUF.

The tensors are renamed by the table of layers that adapters use (`workbench.models.dialects.layout`): a fused matrix is
split by its rows, halves of modulations are exchanged. What a file keeps in fewer bits stays so in memory; scales of
fp8 files are applied when a layer is used.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.models.dialects.layout import ARCHITECTURES, Architecture, Place
from workbench.models.identify import identify, read
from workbench.models.identify.parts import DIFFUSION
from workbench.models.identify.precision import is_helper
from workbench.models.quantise import BLOCK, Packed, PackedLinear, put

Value = Tensor | Packed

# Names of what is no linear layer, which the table of layers leaves out.
_NORMS = {
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
_BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.*)\.(scale|weight)$")


def plain(path: Path) -> bool:
    """Whether the weights at `path` are whole numbers under diffusers' names, as its own loader takes them."""
    if path.suffix == ".gguf":
        return False
    what = identify(read(path))
    return what.layout != "bfl" and not what.numbers.method and not what.prefix and "8" not in what.numbers.precision


def load_single(cls: Any, folder: Path, path: Path, dtype: torch.dtype) -> nn.Module:
    """A component of diffusers' class `cls` from a file that `plain` refuses; its configuration is in `folder`.

    Raises:
        ModelError: tensors are missing, left over or of other shapes.
        ValueError: diffusers does not read the class from single files.
    """
    if cls.__name__.startswith("Autoencoder"):
        options: dict[str, Any] = {"local_files_only": True, "torch_dtype": dtype}
        return cls.from_single_file(str(path), config=str(folder), **options)  # type: ignore[no-any-return]
    return load_transformer(cls, folder, path, dtype)


def load_transformer(cls: Any, folder: Path, path: Path, dtype: torch.dtype) -> nn.Module:
    """A transformer of diffusers' class `cls` with the configuration in `folder` and the weights in `path`.

    Args:
        cls: for example `Flux2Transformer2DModel`.
        folder: has a config.json.
        path: a safetensors or GGUF file under the names of diffusers or of the original code.
        dtype: of everything that is not kept in fewer bits, and of the arithmetic.

    Raises:
        ModelError: tensors are missing, left over or of other shapes.
    """
    module, state = check_names(cls, folder, read_state(path), path)
    dense: dict[str, Tensor] = {}
    for name, value in state.items():
        if isinstance(value, Packed) and not name.endswith(".weight"):
            dense[name] = value.dense().to(dtype)
        elif isinstance(value, Packed):
            layer = name.removesuffix(".weight")
            bias = state.get(f"{layer}.bias")
            if not isinstance(module.get_submodule(layer), nn.Linear):
                dense[name] = value.dense().to(dtype)
                continue
            put(module, layer, PackedLinear(value, bias if isinstance(bias, Tensor) else None, dtype))
        else:
            dense[name] = value.to(dtype)
    packed = {name for name, part in module.named_modules() if isinstance(part, PackedLinear)}
    dense = {name: value for name, value in dense.items() if name.rpartition(".")[0] not in packed}
    module.load_state_dict(dense, strict=False, assign=True)
    left = [name for name, value in module.state_dict().items() if value.is_meta]
    assert not left, left  # names and shapes were equal
    return module


def check_names(cls: Any, folder: Path, state: Mapping[str, Value], path: Path) -> tuple[nn.Module, dict[str, Value]]:
    """An empty transformer of the configuration in `folder`, and `state` under its names, both with the same shapes.

    Raises:
        ModelError: tensors are missing, left over or of other shapes.
    """
    architecture = next((each for each in ARCHITECTURES.values() if each.transformer == cls.__name__), None)
    if architecture is None:
        raise ModelError(f"Single files of {cls.__name__} are not read.", "Use a folder in the diffusers layout.")
    renamed = dict(_renamed(state, architecture, path))
    with torch.device("meta"):
        module: nn.Module = cls.from_config(cls.load_config(folder, local_files_only=True))
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in renamed.items()}
    if got != expected:
        raise _mismatch(path, expected, got)
    return module, renamed


def read_state(path: Path) -> dict[str, Value]:
    """All tensors of a file, without prefix; matrices that are kept in fewer bits as `Packed`.

    Raises:
        ModelError: a header that cannot be believed, or a form of quantisation that is not read.
    """
    header = read(path)
    if header.format == "gguf":
        return _gguf_state(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        names = set(file.keys())
        whole = next((each for each in DIFFUSION[:2] if any(name.startswith(each) for name in names)), "")
        # of a checkpoint with VAE and text encoders only the transformer is read
        chosen = {name for name in names if name.startswith(whole)}
        state = dict(_safetensors_state(file.get_tensor, chosen, path))
    return _unprefixed(state)


def _safetensors_state(get: Callable[[str], Tensor], names: set[str], path: Path) -> Iterator[tuple[str, Value]]:
    for name in sorted(names):
        if is_helper(name):
            continue
        stem = name.removesuffix(".weight")
        if f"{name}.quant_state.bitsandbytes__nf4" in names:
            yield name, _nf4(get, name, names)
        elif any(other.startswith(f"{name}.quant_state.") for other in names):
            raise ModelError(f"The file {path} is in fp4, which is not read.", "Use an nf4, fp8 or GGUF file.")
        elif f"{stem}.SCB" in names:
            data, scale = get(name), get(f"{stem}.SCB").float().unsqueeze(1) / 127
            yield name, Packed("int8", (data.shape[0], data.shape[1]), data, scale)
        else:
            value = get(name)
            if value.dtype not in (torch.float8_e4m3fn, torch.float8_e5m2) or value.ndim != 2:
                yield name, value if value.dtype.is_floating_point else value.float()
                continue
            found = next(
                (f"{stem}.{each}" for each in ("scale_weight", "weight_scale") if f"{stem}.{each}" in names), ""
            )
            factor = get(found).float() if found else torch.ones(())
            if factor.numel() == 1:
                factor = factor.reshape(())
            elif factor.numel() == value.shape[0]:
                factor = factor.reshape(-1, 1)
            else:
                raise ModelError(f"The scales of {name} in {path} fit neither it nor its rows.", "Use another file.")
            yield name, Packed("fp8", (value.shape[0], value.shape[1]), value, factor)


def _nf4(get: Callable[[str], Tensor], name: str, names: set[str]) -> Packed:
    """A matrix as bitsandbytes saves it; scales that are quantised themselves are made whole."""
    state = json.loads(bytes(get(f"{name}.quant_state.bitsandbytes__nf4").tolist()))
    rows, columns = (int(size) for size in state["shape"])
    if state.get("quant_type") != "nf4" or int(state["blocksize"]) != BLOCK:
        raise ModelError(f"The tensor {name} is nf4 with blocks of {state.get('blocksize')}.", "Use another file.")
    scale = get(f"{name}.absmax")
    if f"{name}.nested_absmax" in names:
        size = int(state["nested_blocksize"])
        table, outer = get(f"{name}.nested_quant_map").float(), get(f"{name}.nested_absmax").float()
        scale = table[scale.long()] * outer.repeat_interleave(size)[: scale.numel()] + float(state["nested_offset"])
    return Packed("nf4", (rows, columns), get(name).flatten(), scale.float())


def _gguf_state(path: Path) -> dict[str, Value]:
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError:
        raise ModelError(
            f"Reading {path.name} needs the package gguf.", 'Install it: pip install "flux-workbench[gguf]".'
        ) from None
    state: dict[str, Value] = {}
    plain_types = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
    for entry in GGUFReader(path).tensors:
        shape = tuple(int(size) for size in entry.shape[::-1])
        data = torch.from_numpy(entry.data.copy())
        if int(entry.tensor_type) in plain_types:
            state[entry.name] = data.view(plain_types[int(entry.tensor_type)]).reshape(shape)
        elif len(shape) == 2:
            rows = data.view(torch.uint8).reshape(shape[0], -1)
            state[entry.name] = Packed("gguf", (shape[0], shape[1]), rows, kind=int(entry.tensor_type))
        else:
            rows = data.view(torch.uint8).reshape(1, -1)
            whole = Packed("gguf", (1, math.prod(shape)), rows, kind=int(entry.tensor_type))
            state[entry.name] = whole.dense().reshape(shape)
    return _unprefixed(state)


def _unprefixed(state: Mapping[str, Value]) -> dict[str, Value]:
    prefix = next((each for each in DIFFUSION if all(name.startswith(each) for name in state)), "")
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _renamed(state: Mapping[str, Value], architecture: Architecture, path: Path) -> Iterator[tuple[str, Value]]:
    """The tensors under diffusers' names; those that have them already stay."""
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        norm = _BLOCK.fullmatch(name)
        if norm and norm[3] in _NORMS:
            stack = "transformer_blocks" if norm[1] == "double" else "single_transformer_blocks"
            yield f"{stack}.{norm[2]}.{_NORMS[norm[3]]}.weight", value
            continue
        place = None if architecture.find(module) else architecture.find_original(module)
        if place is None:
            if (
                architecture.name == "flux3"
                and architecture.find(module) is None
                and name.startswith(("emb_in", "single_blocks"))
            ):
                raise ModelError(f"Single files of {architecture.title} are not read: {path}.", "Use its folder.")
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


def _mismatch(path: Path, expected: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]]) -> ModelError:
    missing, more = sorted(expected.keys() - got.keys()), sorted(got.keys() - expected.keys())
    if missing or more:
        what = f"{len(missing)} tensors are missing ({', '.join(missing[:3])})" if missing else ""
        rest = f"{len(more)} belong to no layer ({', '.join(more[:3])})" if more else ""
        said = " and ".join(part for part in (what, rest) if part)
    else:
        name = next(name for name in sorted(expected) if expected[name] != got[name])
        said = f"{name} is {got[name]}, but the configuration makes it {expected[name]}"
    return ModelError(f"The file {path} does not fit its configuration: {said}.", "Add it on top of the right model.")
