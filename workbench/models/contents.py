"""All tensors of a weight file: whole ones as they are, matrices in fewer bits as `Packed`.

| kept as | read |
|---|---|
| float32, float16, bfloat16 | as it is |
| fp8, with a scale for the matrix or for each row, or with none | packed |
| int8, nf4 and fp4 of bitsandbytes, nested scales too | packed |
| GGUF | packed |
| nvfp4, mxfp8, float4 | refused |
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.errors import ModelError
from workbench.models.identify import read
from workbench.models.identify.parts import DIFFUSION
from workbench.models.identify.precision import is_helper, numbers
from workbench.models.quantise import Packed

Value = Tensor | Packed

_OTHER = "Use a bfloat16, fp8, nf4 or GGUF file of the model."
_GGUF_PLAIN = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}


def read_files(paths: Sequence[Path]) -> dict[str, Value]:
    """All tensors of the shards of one component, as `read_state` reads each.

    Raises:
        ModelError: as `read_state`.
    """
    return {name: value for path in paths for name, value in read_state(path).items()}


def read_state(path: Path) -> dict[str, Value]:
    """All tensors of a file, without prefix; matrices that are kept in fewer bits as `Packed`.

    Raises:
        ModelError: a header that cannot be believed, or a form of quantisation that is not read.
    """
    header = read(path)
    if header.format == "gguf":
        return _gguf_state(path)
    kept = numbers(header).precision
    if kept in ("nvfp4", "float4_e2m1"):
        raise ModelError(f"The file {path} is in {kept}, which is not read.", _OTHER)
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
        four = next((kind for kind in ("nf4", "fp4") if f"{name}.quant_state.bitsandbytes__{kind}" in names), None)
        if four is not None:
            yield name, _four_bits(get, name, names, four)
        elif f"{stem}.SCB" in names:
            data, scale = get(name), get(f"{stem}.SCB").float().unsqueeze(1) / 127
            yield name, Packed("int8", (data.shape[0], data.shape[1]), data, scale)
        else:
            value = get(name)
            found = next(
                (f"{stem}.{each}" for each in ("scale_weight", "weight_scale") if f"{stem}.{each}" in names), ""
            )
            if value.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
                yield name, _eight_bits(value, get(found).float() if found else torch.ones(()), name, path)
            else:
                yield name, value if value.dtype.is_floating_point else value.float()


def _eight_bits(value: Tensor, factor: Tensor, name: str, path: Path) -> Value:
    """A tensor of fp8 numbers with its scales."""
    if factor.numel() == 1:
        factor = factor.reshape(())
    elif value.ndim == 2 and factor.numel() == value.shape[0]:
        factor = factor.reshape(-1, 1)
    else:
        raise ModelError(f"The scales of {name} in {path} fit neither it nor its rows.", _OTHER)
    return Packed("fp8", (value.shape[0], value.shape[1]), value, factor) if value.ndim == 2 else value.float() * factor


def _four_bits(get: Callable[[str], Tensor], name: str, names: set[str], kind: str) -> Packed:
    """A matrix as bitsandbytes saves it; scales that are quantised themselves are made whole."""
    state = json.loads(bytes(get(f"{name}.quant_state.bitsandbytes__{kind}").tolist()))
    rows, columns = (int(size) for size in state["shape"])
    scale = get(f"{name}.absmax")
    if state.get("quant_type") != kind or scale.numel() * int(state["blocksize"]) != rows * columns:
        raise ModelError(
            f"The tensor {name} of {rows} x {columns} values is {state.get('quant_type')} with {scale.numel()} blocks of "
            f"{state['blocksize']}.",
            _OTHER,
        )
    if f"{name}.nested_absmax" in names:
        size = int(state["nested_blocksize"])
        table, outer = get(f"{name}.nested_quant_map").float(), get(f"{name}.nested_absmax").float()
        scale = table[scale.long()] * outer.repeat_interleave(size)[: scale.numel()] + float(state["nested_offset"])
    return Packed("nf4" if kind == "nf4" else "fp4", (rows, columns), get(name).flatten(), scale.float())


def _gguf_state(path: Path) -> dict[str, Value]:
    from gguf import GGUFReader

    return _unprefixed({entry.name: _gguf_value(entry) for entry in GGUFReader(path).tensors})


def _gguf_value(entry: Any) -> Value:
    shape, kind = tuple(int(size) for size in entry.shape[::-1]), int(entry.tensor_type)
    data = torch.from_numpy(entry.data.copy())
    if kind in _GGUF_PLAIN:
        return data.view(_GGUF_PLAIN[kind]).reshape(shape)
    if len(shape) == 2:
        return Packed("gguf", (shape[0], shape[1]), data.view(torch.uint8).reshape(shape[0], -1), kind=kind)
    whole = Packed("gguf", (1, math.prod(shape)), data.view(torch.uint8).reshape(1, -1), kind=kind)
    return whole.dense().reshape(shape)


def _unprefixed(state: Mapping[str, Value]) -> dict[str, Value]:
    prefix = next((each for each in DIFFUSION if all(name.startswith(each) for name in state)), "")
    return {name.removeprefix(prefix): value for name, value in state.items()}
