"""Prior preservation: what the base answers to a regularisation picture is what the adapter should leave as it is.

Against the picture itself the loss of such an example is mostly noise, and its gradient pulls the model towards these
few pictures. Against the base's own velocity, at the same noise and level, the loss is 0 as long as the adapter changes
nothing there: every bit of its gradient undoes a drift. The price is one forward pass of these examples without the
adapter and without gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from finetune.batch import Batch
from finetune.families import TrainFamily
from finetune.objective import noisy_latents


@contextmanager
def without_adapter(transformer: nn.Module) -> Iterator[None]:
    """The bare base, for as long as the context lasts."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in transformer.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)


@torch.no_grad()
def with_prior(
    family: TrainFamily,
    transformer: Any,
    batch: Batch,
    *,
    guidance: float = 1.0,
    dtype: torch.dtype = torch.float32,
    weight: float = 1.0,
) -> Batch:
    """`batch` with the base's velocity as the target of the examples that are marked as prior.

    Args:
        family: how the transformer is called.
        transformer: with its adapter.
        batch: on the transformer's device.
        guidance: embedded guidance, where the model has one.
        dtype: precision of the noisy latents that the transformer is given.
        weight: factor of the loss of these examples. Near the base their gradients are small beside those of what is
            learned, so that a weight above 1 keeps the balance.

    Returns:
        The same batch where no example is marked.
    """
    places = [place for place, marked in enumerate(batch.prior) if marked]
    if not places:
        return batch
    some = batch.pick(places)
    noisy = noisy_latents(some.clean, some.noise, some.sigma).to(dtype)
    with without_adapter(transformer):
        velocity = family.velocity(transformer, noisy, some.sigma, some, guidance)
    target = batch.noise - batch.clean  # (B, N, C)
    target[places] = velocity.float()
    weights = batch.weight.clone()  # (B,)
    weights[places] *= weight
    return replace(batch, target=target, weight=weights)
