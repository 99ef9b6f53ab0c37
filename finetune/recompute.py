"""Recomputing blocks in the backward pass: less memory for more time, and the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Recomputed = Literal["none", "half", "all"]
Checkpointing = Literal["auto", "none", "half", "all"]


def recompute_blocks(transformer: Any, which: Recomputed) -> None:
    """Have `transformer` keep only the inputs of its blocks, of every one or of every other one.

    Args:
        transformer: a model of diffusers, changed in place.
        which: none keeps everything; half costs half of the time of all and saves half of its memory.
    """
    if which == "none":
        return
    if which == "all":
        transformer.enable_gradient_checkpointing()
        return
    places: dict[nn.Module, int] = {}  # blocks in the order in which the first pass comes to them

    def every_other(block: nn.Module, *inputs: Any) -> Any:
        from torch.utils.checkpoint import checkpoint

        if places.setdefault(block, len(places)) % 2:
            return block(*inputs)
        return checkpoint(block, *inputs, use_reentrant=False)

    transformer.enable_gradient_checkpointing(every_other)
