"""What one forward pass of training needs, as plain tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Grid = tuple[int, int]
"""Rows and columns of picture tokens."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text features: (B, L, D), and for FLUX.1 the pooled vector (B, P)."""

    embeds: Tensor
    pooled: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """B examples of one bucket: N picture tokens with C channels, L text tokens."""

    names: tuple[str, ...]  # of the examples, for error messages
    clean: Tensor  # normalised latents, float32 (B, N, C)
    noise: Tensor  # float32 (B, N, C)
    sigma: Tensor  # float32 (B,), 0 is the picture and 1 is noise
    text: Text
    grid: Grid
    weight: Tensor  # of each example in the loss, float32 (B,)
    references: tuple[Tensor, ...] = ()  # normalised latents, float32 (B, M, C) each
    reference_grids: tuple[Grid, ...] = ()
    mask: Tensor | None = None  # weight of each token in the loss, float32 (B, N)
    prior: tuple[bool, ...] = ()  # of each example: whether it should stay as the base answers; empty: none
    target: Tensor | None = None  # velocity to predict, float32 (B, N, C); None: from the picture to the noise

    def pick(self, places: Sequence[int]) -> Batch:
        """The examples at `places`, in that order."""
        index = torch.tensor(places, device=self.clean.device)

        def some(value: Tensor | None) -> Tensor | None:
            return None if value is None else value[index]

        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            clean=self.clean[index],
            noise=self.noise[index],
            sigma=self.sigma[index],
            text=Text(self.text.embeds[index], some(self.text.pooled)),
            weight=self.weight[index],
            references=tuple(each[index] for each in self.references),
            mask=some(self.mask),
            prior=tuple(self.prior[place] for place in places) if self.prior else (),
            target=some(self.target),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Batch:
        """The same batch on a device; text at the transformer's precision, everything of the loss in float32."""

        def move(value: Tensor) -> Tensor:
            return value.to(device, non_blocking=True)

        pooled = self.text.pooled
        text = Text(move(self.text.embeds).to(dtype), None if pooled is None else move(pooled).to(dtype))
        return replace(
            self,
            clean=move(self.clean),
            noise=move(self.noise),
            sigma=move(self.sigma),
            text=text,
            weight=move(self.weight),
            references=tuple(move(each) for each in self.references),
            mask=None if self.mask is None else move(self.mask),
        )
