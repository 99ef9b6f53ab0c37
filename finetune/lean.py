"""A shorter training pass of peft's LoRA layers: the same change of the same layer in fewer operations.

Peft's own pass serves many adapters at once, with dropout, casts and a scale of their own. In training there is one, on
a frozen base. So one function computes the layer and its change, and its gradients by hand: each product is made once,
sums are made where a product ends, and nothing is reshaped or kept on the way. In small models, where every operation
costs more than its arithmetic, that is a noticeable share of a step; in large ones it saves two passes over the output
of every layer. Positions are embedded once for every size of picture, and not at every step.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.nn import functional

NAME = "default"
KEPT = 64  # embedded positions that are kept: of pictures of different sizes, and of texts


class FrozenWithLora(torch.autograd.Function):
    """x W^T + b + s (x A^T) B^T with gradients for x, A and B; W and b are frozen."""

    @staticmethod
    def forward(  # noqa: PLR0917 - tensors have to be arguments
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        """The layer's answer (..., out).

        Args:
            ctx: of autograd.
            x: (..., in).
            weight: W (out, in), at the precision of x.
            bias: b (out,) or None.
            down: A (rank, in), float32.
            up: B (out, rank), float32.
            scale: s.
        """
        rows = x.reshape(-1, x.shape[-1])  # (n, in)
        narrow = rows @ down.to(x.dtype).t()  # (n, rank)
        out = functional.linear(rows, weight, bias)  # (n, out)
        out.addmm_(narrow, up.to(x.dtype).t(), alpha=scale)
        ctx.save_for_backward(rows, narrow, weight, down, up)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, A and B."""
        rows, narrow, weight, down, up = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])  # (n, out)
        of_narrow = gradient @ up.to(rows.dtype)  # (n, rank)
        if ctx.scale != 1:
            of_narrow, narrow = ctx.scale * of_narrow, ctx.scale * narrow
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (gradient @ weight).addmm_(of_narrow, down.to(rows.dtype)).view(ctx.shape)
        return of_x, None, None, (of_narrow.t() @ rows).to(down.dtype), (gradient.t() @ narrow).to(up.dtype), None


class LeanLora(Linear):
    """A linear layer with one LoRA; everything but the forward pass of training is peft's."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The layer's answer (..., out) to x (..., in), with the change."""
        answer: Tensor
        if self.disable_adapters or self.merged:
            answer = super().forward(x, *args, **kwargs)
            return answer
        base, scale = self.base_layer, self.scaling[NAME]
        down, up = self.lora_A[NAME].weight, self.lora_B[NAME].weight
        # A compiler joins operations itself; a packed layer makes its weight whole itself.
        if type(base) is nn.Linear and base.weight.dtype == x.dtype and not torch.compiler.is_compiling():
            answer = FrozenWithLora.apply(x, base.weight, base.bias, down, up, scale)
            return answer
        out: Tensor = base(x)  # (..., out)
        narrow = functional.linear(x, down.to(x.dtype)).flatten(0, -2)  # (n, rank)
        return torch.addmm(out.flatten(0, -2), narrow, up.to(x.dtype).t(), alpha=scale).view(out.shape)


class KeptPositions(nn.Module):
    """An embedding of positions that answers from memory when it is given the same tensor of ids again.

    Args:
        embed: the transformer's own; it has no weights.
    """

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed
        self._kept: OrderedDict[int, tuple[Tensor, Any]] = (
            OrderedDict()
        )  # the ids are held, so that no id is used twice

    def forward(self, ids: Tensor) -> Any:
        """What `embed` answers to ids (n, axes)."""
        found = self._kept.get(id(ids))
        if found is None:
            found = self._kept[id(ids)] = (ids, self.embed(ids))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found[1]


def make_lean(module: nn.Module) -> None:
    """Give every plain LoRA layer of `module` the shorter pass; those with dropout, DoRA or bits of their own keep theirs.

    Args:
        module: changed in place.
    """
    layer: Any
    for layer in module.modules():
        if type(layer) is Linear and isinstance(layer.lora_dropout[NAME], nn.Identity) and not layer.use_dora[NAME]:
            layer.__class__ = LeanLora
    embed = getattr(module, "pos_embed", None)
    if isinstance(embed, nn.Module) and not any(True for _ in embed.parameters()):
        module.pos_embed = KeptPositions(embed)
