"""What an adapter does to one linear layer: low rank, Kronecker, Hadamard or dense, each with its scale folded in.

LoRA      s B A                      Hu et al. 2021, arXiv:2106.09685
DoRA      m (W + s B A) / |W + s B A| - W    Liu et al. 2024, arXiv:2402.09353
LoKr      s (C1 kron C2)             Edalati et al. 2022, arXiv:2212.10650; Yeh et al. 2023, arXiv:2309.14859
LoHa      s (B1 A1) * (B2 A2)        Hyeon-Woo et al. 2022, arXiv:2108.06098

All tensors are float32; a layer's weight W is (out_features, in_features).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor


class Change(Protocol):
    """The change of one linear layer."""

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""
        ...

    def delta(self, base: Tensor) -> Tensor:
        """What is added to the weight `base` (out, in) at strength 1; float32 on its device."""
        ...

    def rows(self, start: int, stop: int) -> Change:
        """The change of the output features from `start` to before `stop`."""
        ...

    def swapped(self) -> Change:
        """The same with the two halves of the output features exchanged."""
        ...


@dataclass(frozen=True, slots=True)
class LowRank:
    """scale * B A, and with a magnitude the DoRA of it.

    Attributes:
        down: A, (rank, in).
        up: B, (out, rank).
        scale: alpha / rank, or alpha / sqrt(rank).
        magnitude: DoRA's m: (out, 1) for the norm over each output's row, (1, in) for that over each input's column.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    magnitude: Tensor | None = None

    @property
    def rank(self) -> int:
        """Rows of A."""
        return int(self.down.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""
        return int(self.up.shape[0]), int(self.down.shape[1])

    def delta(self, base: Tensor) -> Tensor:
        """See `Change.delta`."""
        product: Tensor = self.scale * (self.up.to(base.device) @ self.down.to(base.device))  # (out, in)
        if self.magnitude is None:
            return product
        weight = base.float()
        changed = weight + product
        norm = torch.linalg.vector_norm(changed, dim=1 if self.magnitude.shape[1] == 1 else 0, keepdim=True)
        rescaled: Tensor = self.magnitude.to(base.device) * changed / norm
        return rescaled - weight

    def rows(self, start: int, stop: int) -> LowRank:
        """See `Change.rows`. Columns of B that are zero in these rows are left out, with their rows of A."""
        up = self.up[start:stop]
        used = up.ne(0).any(dim=0)
        down = self.down
        if used.any() and not used.all():
            up, down = up[:, used], down[used]
        return LowRank(down, up, self.scale, self._magnitude(slice(start, stop)))

    def swapped(self) -> LowRank:
        """See `Change.swapped`."""
        order = _halves_exchanged(self.up.shape[0])
        return replace(self, up=self.up[order], magnitude=self._magnitude(order))

    def folded(self) -> LowRank:
        """The same change with scale 1: B carries the scale."""
        return replace(self, up=self.up * self.scale, scale=1.0)

    def _magnitude(self, chosen: slice | Tensor) -> Tensor | None:
        if self.magnitude is None or self.magnitude.shape[0] == 1:
            return self.magnitude
        return self.magnitude[chosen]


@dataclass(frozen=True, slots=True)
class Kronecker:
    """scale * (C1 kron C2), each factor either whole or as a product of two matrices."""

    first: tuple[Tensor, ...]  # one matrix, or two whose product is C1
    second: tuple[Tensor, ...]
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""
        first, second = _span(self.first), _span(self.second)
        return first[0] * second[0], first[1] * second[1]

    def delta(self, base: Tensor) -> Tensor:
        """See `Change.delta`."""
        factors = [torch.linalg.multi_dot(each) if len(each) > 1 else each[0] for each in (self.first, self.second)]
        return self.scale * torch.kron(factors[0].to(base.device), factors[1].to(base.device))

    def rows(self, start: int, stop: int) -> Dense:
        """See `Change.rows`; a slice of a Kronecker product is no Kronecker product."""
        return self.dense().rows(start, stop)

    def swapped(self) -> Dense:
        """See `Change.swapped`."""
        return self.dense().swapped()

    def dense(self) -> Dense:
        """The same change, written out."""
        return Dense(self.delta(torch.empty(0)))

    def low_rank(self) -> LowRank:
        """The same change as one product B A, exactly: (B1 A1) kron (B2 A2) = (B1 kron B2) (A1 kron A2)."""
        (b1, a1), (b2, a2) = _two(self.first), _two(self.second)
        return LowRank(torch.kron(a1, a2), torch.kron(b1, b2), self.scale)


@dataclass(frozen=True, slots=True)
class Dense:
    """A change that is written out: (out, in)."""

    values: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""
        return int(self.values.shape[0]), int(self.values.shape[1])

    def delta(self, base: Tensor) -> Tensor:
        """See `Change.delta`."""
        return self.values.to(base.device)

    def rows(self, start: int, stop: int) -> Dense:
        """See `Change.rows`."""
        return Dense(self.values[start:stop])

    def swapped(self) -> Dense:
        """See `Change.swapped`."""
        return Dense(self.values[_halves_exchanged(self.values.shape[0])])


def stacked(parts: list[LowRank]) -> LowRank:
    """One change whose output rows are those of `parts`, one below the other; exact.

    Equal A's are shared, so a fused matrix that was split comes back with its rank; otherwise A's are stacked and B is
    block-diagonal, and the rank is the sum.
    """
    folded = [part if part.scale == parts[0].scale else part.folded() for part in parts]
    scale = parts[0].scale if all(part.scale == parts[0].scale for part in folded) else 1.0
    if scale == 1.0:
        folded = [part.folded() for part in folded]
    magnitudes = [part.magnitude for part in parts if part.magnitude is not None]
    magnitude = torch.cat(magnitudes) if len(magnitudes) == len(parts) else None
    first = folded[0].down
    if all(part.down.shape == first.shape and torch.equal(part.down, first) for part in folded):
        return LowRank(first, torch.cat([part.up for part in folded]), scale, magnitude)
    down = torch.cat([part.down for part in folded])
    return LowRank(down, torch.block_diag(*(part.up for part in folded)), scale, magnitude)


def _span(factors: tuple[Tensor, ...]) -> tuple[int, int]:
    return int(factors[0].shape[0]), int(factors[-1].shape[1])


def _two(factors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """A matrix as a product of two; a whole one with the identity, on the side that keeps the rank small."""
    if len(factors) == 2:
        return factors[0], factors[1]
    (matrix,) = factors
    out_features, in_features = matrix.shape
    if out_features <= in_features:
        return torch.eye(out_features), matrix
    return matrix, torch.eye(in_features)


def _halves_exchanged(count: int) -> Tensor:
    return torch.arange(count).roll(count // 2)
