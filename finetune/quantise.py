"""A frozen base of fewer bits: less memory, not more speed. Adapters stay float32 whatever the base is.

Weights are packed as the engine packs them (`workbench.models.quantise`), so a run trains on the very numbers that
`quantisation` of a recipe draws with. A packed layer makes its weight whole in the forward pass and once more in the
backward pass; nothing whole is kept between them.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional

from finetune.config import Quant
from workbench.models.quantise import BLOCK, PackedLinear, pack


class Product(torch.autograd.Function):
    """The answer (..., out) of a packed layer, whose weight is made whole again for the gradient of its input."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, layer: PackedLinear) -> Tensor:
        """See the class."""
        ctx.layer = layer
        bias = None if layer.bias is None else layer.bias.to(values.dtype)
        return functional.linear(values, layer.packed.dense().to(values.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient of the input; a packed weight has none."""
        return gradients[0] @ ctx.layer.packed.dense().to(gradients[0].dtype), None


class FrozenPacked(PackedLinear):
    """A packed layer that keeps no whole weight for the backward pass."""

    def forward(self, values: Tensor) -> Tensor:
        """(..., in) to (..., out), at the precision of `values`."""
        answer: Tensor = Product.apply(values, self)
        return answer


def quantise_base(transformer: nn.Module, kind: Quant, dtype: torch.dtype) -> int:
    """Pack the weights under an adapter, in place; layers without one stay as they are.

    Args:
        transformer: with its LoRA attached.
        kind: none changes nothing.
        dtype: precision of the base.

    Returns:
        Number of layers that were packed; nf4 leaves those out that are not made of whole blocks of 64 weights.
    """
    packed = 0
    if kind == "none":
        return packed
    for layer in transformer.modules():
        if isinstance(layer, LoraLayer):
            base: Any = layer.base_layer
            if kind != "nf4" or base.weight.numel() % BLOCK == 0:
                layer.base_layer = FrozenPacked(pack(base.weight, kind), base.bias, dtype)
                packed += 1
    return packed
