"""Weights kept in fewer bits and made whole, layer by layer, when they are used.

| method | a weight is | bits |
|---|---|---|
| int8 | round(w / s) * s, s = max |row| / 127 | 8 |
| fp8 | float8_e4m3(w / s) * s, s = max |row| / 448 | 8 |
| nf4 | one of 16 quantiles of a normal distribution, times max |block| of 64 values | 4.5 |
| fp4 | one of 16 numbers with 2 bits of exponent and 1 of fraction, times max |block|; read only | 4.5 |
| gguf | what the file's type says; read only | 2 to 8 |

Only memory is saved: the arithmetic is that of the model's precision, so results do not depend on the device's kernels.
nf4 and its packing are those of bitsandbytes (Dettmers et al. 2023, arXiv:2305.14314); fp8 and int8 have one scale a row
(Dettmers et al. 2022, arXiv:2208.07339, without its outliers).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import ModelError
from workbench.models.identify.parts import in_blocks

Method = Literal["int8", "fp8", "nf4", "fp4", "gguf"]

BLOCK = 64  # values of nf4 with one scale, as it is written here

# Quantiles of N(0, 1) scaled to -1..1, with an exact zero. Source: appendix E of the paper.
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
# As bitsandbytes has it: e2m1 with one subnormal, over its largest number; then the same with a minus.
FP4 = tuple(sign * value / 12 for sign in (1, -1) for value in (0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0))


@dataclass(frozen=True, slots=True)
class Packed:
    """A matrix in fewer bits.

    Attributes:
        method: how.
        shape: (out, in) of the whole matrix.
        data: int8 or float8 (out, in); nf4 and fp4 uint8 (out * in / 2,), the first value in the high half; gguf uint8
            (out, bytes of a row).
        scale: float32; (out, 1) or () for int8 and fp8, (blocks,) for nf4 and fp4.
        kind: the type's number in GGUF.
    """

    method: Method
    shape: tuple[int, int]
    data: Tensor
    scale: Tensor | None = None
    kind: int = 0

    def dense(self) -> Tensor:
        """The whole matrix, float32 (out, in)."""
        if self.method == "gguf":
            return _from_gguf(self.data, self.kind).reshape(self.shape)
        assert self.scale is not None  # of the other methods
        if self.method not in ("nf4", "fp4"):
            whole: Tensor = self.data.to(torch.float32) * self.scale
            return whole
        codes = torch.stack([self.data >> 4, self.data & 15], dim=1).flatten()  # (out * in,)
        table = _table(self.data.device, NF4 if self.method == "nf4" else FP4)
        values = table[codes.long()].view(self.scale.numel(), -1) * self.scale.unsqueeze(1)
        return values.view(self.shape)

    def rows(self, start: int, stop: int) -> Packed:
        """The matrix of the output features from `start` to before `stop`.

        Raises:
            ModelError: nf4 or fp4 with rows that are not whole blocks.
        """
        shape = (stop - start, self.shape[1])
        if self.method in ("nf4", "fp4"):
            assert self.scale is not None
            per, block = self.shape[1], self.shape[0] * self.shape[1] // self.scale.numel()
            if per % block:
                raise ModelError(f"Rows of {per} values cannot be split in {self.method}.", "Use another file.")
            data = self.data[start * per // 2 : stop * per // 2]
            return replace(self, shape=shape, data=data, scale=self.scale[start * per // block : stop * per // block])
        scale = self.scale
        if scale is not None and scale.ndim:
            scale = scale[start:stop]
        return replace(self, shape=shape, data=self.data[start:stop], scale=scale)

    def take(self, order: Tensor) -> Packed:
        """The matrix with its output features in another order; for methods that keep rows apart.

        Raises:
            ModelError: nf4 or fp4.
        """
        if self.method in ("nf4", "fp4"):
            raise ModelError(f"Rows cannot be exchanged in {self.method}.", "Use another file.")
        scale = self.scale
        return replace(self, data=self.data[order], scale=scale[order] if scale is not None and scale.ndim else scale)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.data.nbytes + (0 if self.scale is None else self.scale.nbytes)


def pack(weight: Tensor, method: Method) -> Packed:
    """Keep `weight` (out, in) in fewer bits.

    Raises:
        ModelError: a method that is read only, or nf4 of a matrix that is not whole blocks.
    """
    values = weight.detach().float()
    shape = (values.shape[0], values.shape[1])
    if method == "int8":
        scale = _row_scale(values, 127.0)
        return Packed(method, shape, torch.round(values / scale).to(torch.int8), scale)
    if method == "fp8":
        scale = _row_scale(values, 448.0)
        return Packed(method, shape, (values / scale).to(torch.float8_e4m3fn), scale)
    if method != "nf4":
        raise ModelError(f"Weights cannot be written as {method}.", "Use int8, fp8 or nf4.")
    if values.numel() % BLOCK:
        raise ModelError(f"A matrix of {shape[0]} x {shape[1]} is not made of blocks of {BLOCK}.", "Use int8 or fp8.")
    blocks = values.reshape(-1, BLOCK)
    scale = blocks.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    table = _table(values.device, NF4)
    borders = (table[1:] + table[:-1]) / 2
    codes = torch.bucketize((blocks / scale.unsqueeze(1)).flatten(), borders).to(torch.uint8).view(-1, 2)
    return Packed(method, shape, (codes[:, 0] << 4) | codes[:, 1], scale)


class PackedLinear(nn.Module):
    """A linear layer whose weight is packed; `replaced` is a whole weight that stands in for it, while adapters act."""

    data: Tensor
    scale: Tensor | None
    bias: Tensor | None
    replaced: Tensor | None

    def __init__(self, packed: Packed, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.out_features, self.in_features = packed.shape
        self.method, self.kind, self.dtype = packed.method, packed.kind, dtype
        self.register_buffer("data", packed.data)
        self.register_buffer("scale", packed.scale)
        self.register_buffer("bias", None if bias is None else bias.to(dtype))
        self.register_buffer("replaced", None)

    @property
    def weight(self) -> Tensor:
        """Shape and type of the whole weight, without values: some text encoders look at them before they call a layer."""
        return torch.empty(self.out_features, self.in_features, dtype=self.dtype, device="meta")

    @property
    def packed(self) -> Packed:
        """The weight as it is kept."""
        return Packed(self.method, (self.out_features, self.in_features), self.data, self.scale, self.kind)

    def forward(self, values: Tensor) -> Tensor:
        """(..., in) to (..., out), at the precision of `values`."""
        weight = self.packed.dense() if self.replaced is None else self.replaced
        bias = None if self.bias is None else self.bias.to(values.dtype)
        return functional.linear(values, weight.to(values.dtype), bias)

    def _apply(self, fn: object, recurse: bool = True) -> nn.Module:
        """Moves between devices, and never changes the types of packed data."""
        probe = fn(torch.empty(0))  # type: ignore[operator]
        for name in ("data", "scale", "bias", "replaced"):
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, value.to(probe.device))
        return self


def quantise(module: nn.Module, method: Method, dtype: torch.dtype) -> int:
    """Pack the linear layers of the blocks of a transformer or a text encoder, in place, one by one.

    Layers outside its blocks (embeddings, the last projection, shared modulation) stay whole: they are a few per cent of
    the weights, and what they do wrong reaches every token.

    Returns:
        Number of layers that were packed.
    """
    chosen = [
        (name, part)
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear) and in_blocks(name) and (method != "nf4" or part.weight.numel() % BLOCK == 0)
    ]
    for name, part in chosen:
        put(module, name, PackedLinear(pack(part.weight, method), part.bias, dtype))
    return len(chosen)


def put(root: nn.Module, name: str, part: nn.Module) -> None:
    """Set the submodule of `root` called `name`."""
    owner, _, last = name.rpartition(".")
    setattr(root.get_submodule(owner), last, part)


def _row_scale(values: Tensor, largest: float) -> Tensor:
    return (values.abs().amax(dim=1, keepdim=True) / largest).clamp_min(torch.finfo(torch.float32).tiny)


@lru_cache(maxsize=8)
def _table(device: torch.device, values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, device=device)


def _from_gguf(data: Tensor, kind: int) -> Tensor:
    from diffusers.quantizers.gguf.utils import dequantize_functions
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    name = GGMLQuantizationType(kind)
    if name not in dequantize_functions:
        raise ModelError(
            f"Weights of the GGUF type {name.name} cannot be read.", "Use a Q4_0, Q5_K, Q8_0 or like file."
        )
    values, size = GGML_QUANT_SIZES[name]
    blocks: Tensor = dequantize_functions[name](data.reshape(-1, size), values, size)
    return blocks.float()
