"""How the numbers of a weight file are kept, from the types of its matrices and the helpers that stand beside them.

| what stands there | what it is | written by |
|---|---|---|
| `W.absmax`, `W.quant_map`, `W.quant_state.bitsandbytes__nf4` | nf4 or fp4 | bitsandbytes |
| `W.SCB` beside int8 | int8 with a scale a row | bitsandbytes |
| `scaled_fp8`, `W.scale_weight` or `W.weight_scale` beside F8 | fp8 with a scale | ComfyUI, Black Forest Labs |
| `W.weight_scale_2` beside U8 | nvfp4: 4 bits with scales of 16 values | NVIDIA, Black Forest Labs |
| `W.comfy_quant` | what its JSON says; the type decides here | ComfyUI |
| F8 alone | fp8 by rounding | |
| a GGUF type | that | llama.cpp, ComfyUI-GGUF |
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType

from workbench.models.identify.header import BITS, Header

_HELPERS = (
    ".absmax",
    ".quant_map",
    ".nested_absmax",
    ".nested_quant_map",
    ".SCB",
    ".weight_format",
    ".scale_weight",
    ".scale_input",
    ".weight_scale",
    ".weight_scale_2",
    ".input_scale",
    ".comfy_quant",
)
_PLAIN = MappingProxyType(
    {
        "F64": "float64",
        "F32": "float32",
        "F16": "float16",
        "BF16": "bfloat16",
        "F8_E4M3": "float8_e4m3fn",
        "F8_E5M2": "float8_e5m2",
        "I8": "int8",
        "F4": "float4_e2m1",
    }
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """How a file keeps its weights."""

    precision: str  # 'bfloat16', 'float8_e4m3fn', 'int8', 'nf4', 'Q4_0', ...
    method: str  # '' for plain numbers, or 'bitsandbytes', 'scaled', 'scaled, some layers', 'gguf'
    parameters: int  # values, packed ones counted as what they unpack to
    bytes: int  # of all tensors


def is_helper(name: str) -> bool:
    """Whether a tensor belongs to the quantisation of another one."""
    return name.endswith(_HELPERS) or ".quant_state." in name or name.rpartition(".")[2] == "scaled_fp8"


def numbers(header: Header) -> Numbers:
    """How the matrices of a file are kept; where several types occur, that of most values."""
    names = header.tensors
    four = {name.partition(".quant_state.bitsandbytes__") for name in names if ".quant_state.bitsandbytes__" in name}
    packed = {owner for owner, _, _ in four}
    kinds = {kind for _, _, kind in four}
    nvidia = {name for name in names if f"{name.removesuffix('.weight')}.weight_scale_2" in names}
    total, stored = 0, 0
    by_type: Counter[str] = Counter()
    for name, entry in names.items():
        stored += _stored(header.format, entry.dtype, entry.elements)
        if is_helper(name):
            continue
        values = (
            entry.elements * 2
            if name in packed
            or (name in nvidia and entry.dtype == "U8")
            or (entry.dtype == "F4" and header.format == "gguf")
            else entry.elements
        )
        total += values
        if len(entry.shape) > 1:
            by_type["packed" if name in packed else entry.dtype] += values
    if not by_type:
        by_type.update(entry.dtype for entry in names.values())
    main = by_type.most_common(1)[0][0] if by_type else ""
    if main == "packed":
        return Numbers("/".join(sorted(kinds)), "bitsandbytes", total, stored)
    if main == "U8" and nvidia:
        return Numbers("nvfp4", "scaled", total, stored)
    if header.format == "gguf":
        plain = main in ("F32", "F16", "BF16")
        return Numbers(_PLAIN[main] if plain else _mixed(by_type), "gguf", total, stored)
    method = ""
    if main == "I8" and any(name.endswith(".SCB") for name in names):
        method = "bitsandbytes"
    elif any(name.endswith((".scale_weight", ".weight_scale", "scaled_fp8", ".comfy_quant")) for name in names):
        method = "scaled"
        if by_type[main] < 0.95 * sum(by_type.values()):
            method = "scaled, some layers"
    return Numbers(_PLAIN.get(main, main), method, total, stored)


def _mixed(by_type: Counter[str]) -> str:
    """Name of a GGUF mixture: files called Q5_K_S keep most in Q5_K and some in others."""
    return by_type.most_common(1)[0][0]


def _stored(form: str, dtype: str, elements: int) -> int:
    if form == "gguf":
        from workbench.models.identify.gguf import TYPES

        known = {name: (values, size) for name, values, size in TYPES.values()}
        values, size = known[dtype]
        return -(-elements // values) * size
    return elements * BITS[dtype] // 8
