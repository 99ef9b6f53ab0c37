"""A shorter forward pass of peft's LoRA layers: the same change of the same layer in fewer operations.

Peft's own pass serves many adapters at once, with dropout, casts and a scale of their own. In training there is one, so
its product is added to the layer's answer by a single `addmm` that has the scale built in. In small models, where every
operation costs more than its arithmetic, that is a noticeable share of a step; in large ones it saves two passes over the
output of every layer.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn

NAME = "default"


class LeanLora(Linear):
    """A linear layer with one LoRA; everything but the forward pass of training is peft's."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The layer's answer (..., out) to x (..., in), with the change."""
        if self.disable_adapters or self.merged:
            answer: Tensor = super().forward(x, *args, **kwargs)
            return answer
        out: Tensor = self.base_layer(x)  # (..., out)
        down = nn.functional.linear(x, self.lora_A[NAME].weight.to(x.dtype)).flatten(0, -2)  # (n, rank)
        up = self.lora_B[NAME].weight.to(x.dtype).t()  # (rank, out)
        return torch.addmm(out.flatten(0, -2), down, up, alpha=self.scaling[NAME]).view(out.shape)


def make_lean(module: nn.Module) -> None:
    """Give every plain LoRA layer of `module` the shorter pass; those with dropout, DoRA or bits of their own keep theirs."""
    layer: Any
    for layer in module.modules():
        if type(layer) is Linear and isinstance(layer.lora_dropout[NAME], nn.Identity) and not layer.use_dora[NAME]:
            layer.__class__ = LeanLora
