"""Singular values of changes, cut to a rank or to a share of their energy.

Energy is the squared Frobenius norm; the best approximation of a matrix by one of rank r keeps the r largest singular
values (Eckart and Young 1936). That of a product B A needs no large matrix: with B = Q_b R_b and A^T = Q_a R_a, the
singular values are those of the small R_b R_a^T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.models.dialects.changes import Change, LowRank

EXACT_SIDE = 1024  # matrices with a shorter side up to this are decomposed exactly, larger ones at random projections
_OVERSAMPLING = 16
_POWER_ITERATIONS = 4


class SurgeryError(WorkbenchError):
    """Adapters cannot be merged, extracted, resized or compared as asked."""

    code = "WB521"


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of a change is kept: at most `rank` directions, and no more than `energy` needs.

    Attributes:
        rank: most singular values, or None for all.
        energy: share of the squared norm that is enough, above 0 to 1, or None for all.
    """

    rank: int | None = None
    energy: float | None = None

    def __post_init__(self) -> None:
        """Refuse what keeps nothing.

        Raises:
            SurgeryError: a rank below 1, or an energy outside (0, 1].
        """
        if self.rank is not None and self.rank < 1:
            raise SurgeryError(f"A rank of {self.rank} keeps nothing.", "Use a rank of 1 or more.")
        if self.energy is not None and not 0 < self.energy <= 1:
            raise SurgeryError(f"An energy of {self.energy:g} is no share.", "Use a share above 0, up to 1.")

    def count(self, values: Tensor, total: float) -> int:
        """How many of the singular values (falling) are kept; at least one."""
        most = len(values) if self.rank is None else min(self.rank, len(values))
        if self.energy is None or total <= 0:
            return max(most, 1)
        reached = values.double().square().cumsum(0) / total
        needed = int((reached < self.energy * (1 - 1e-9)).sum()) + 1
        return max(min(most, needed), 1)


@dataclass(frozen=True, slots=True)
class Kept:
    """A change of lower rank, and how much of the original it holds."""

    change: LowRank
    energy: float  # squared norm of what is kept
    total: float  # squared norm of the original


def cut_product(change: LowRank, cut: Cut) -> Kept:
    """The best change of lower rank for a product B A.

    Raises:
        SurgeryError: a DoRA, which is no product.
    """
    if change.magnitude is not None:
        raise SurgeryError("A DoRA is no product of two matrices.", "Merge it into its base and extract a LoRA.")
    q_up, r_up = torch.linalg.qr(change.up.double())  # (out, r), (r, r)
    q_down, r_down = torch.linalg.qr(change.down.double().T)  # (in, r), (r, r)
    left, values, right = torch.linalg.svd(change.scale * r_up @ r_down.T)
    total = float(values.square().sum())
    count = cut.count(values, total)
    return _kept(q_up @ left[:, :count], values[:count], right[:count] @ q_down.T, total)


def cut_matrix(delta: Tensor, cut: Cut) -> Kept:
    """The best change of lower rank for a matrix (out, in).

    Past `EXACT_SIDE` the singular vectors come from random projections with power iterations (Halko et al. 2011); the
    kept energy is that of the projection onto them, and the seed is fixed.
    """
    total = float(delta.double().square().sum())
    side = min(delta.shape)
    if side <= EXACT_SIDE or cut.rank is None:
        left, values, right = torch.linalg.svd(delta.float(), full_matrices=False)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            size = min(cut.rank + _OVERSAMPLING, side)
            left, values, columns = torch.svd_lowrank(delta.float(), q=size, niter=_POWER_ITERATIONS)
        right = columns.T
    count = cut.count(values, total)
    return _kept(left[:, :count], values[:count], right[:count], total)


def weighted_sum(changes: Sequence[tuple[LowRank, float]]) -> LowRank:
    """Sum of weight * B A as one product, exactly: the A's stacked, the weighted B's side by side; ranks add up."""
    down = torch.cat([change.down for change, _ in changes])
    up = torch.cat([weight * change.scale * change.up for change, weight in changes], dim=1)
    return LowRank(down, up)


def squared_norm(change: Change) -> float:
    """|change|^2, for a product without writing it out: trace((B^T B) (A A^T))."""
    return inner(change, change)


def inner(first: Change, second: Change) -> float:
    """The inner product of two changes of one layer: the sum over the products of their entries."""
    if isinstance(first, LowRank) and isinstance(second, LowRank) and first.magnitude is second.magnitude is None:
        ups = first.up.double().T @ second.up.double()  # (r1, r2)
        downs = first.down.double() @ second.down.double().T  # (r1, r2)
        return first.scale * second.scale * float((ups * downs).sum())
    zero = torch.zeros(first.shape)
    return float((first.delta(zero).double() * second.delta(zero).double()).sum())


def _kept(left: Tensor, values: Tensor, right: Tensor, total: float) -> Kept:
    """Both matrices share the singular values, so that neither is hard to hold in half precision."""
    root = values.clamp_min(0).sqrt()
    change = LowRank((root[:, None] * right).float(), (left * root).float())
    return Kept(change, min(float(values.double().square().sum()), total), total)
