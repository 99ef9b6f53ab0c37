"""What differs between two adapter files, whatever their dialects: layers, ranks, sizes of the changes, metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from finetune.formats.load import AdapterFile
from finetune.surgery.lowrank import inner, squared_norm
from workbench.models.dialects.changes import Change, LowRank


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """One layer in both files.

    Attributes:
        module: diffusers' name.
        ranks: in the first and second file; None where it is no product or absent.
        norms: Frobenius norms of the changes; 0 where absent.
        distance: |first - second| / max(|first|, |second|): 0 equal, 1 unrelated or absent, 2 opposite.
        cosine: of the angle between the changes, -1 to 1; None where one is zero.
    """

    module: str
    ranks: tuple[int | None, int | None]
    norms: tuple[float, float]
    distance: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two adapter files, layer by layer."""

    layers: tuple[LayerDifference, ...]
    metadata: Mapping[str, tuple[str | None, str | None]]  # entries that differ
    distance: float  # over all layers together, as for one layer

    def same(self, tolerance: float) -> bool:
        """Whether both apply the same changes, up to a relative `tolerance`; metadata does not count."""
        return self.distance <= tolerance


def compare(first: AdapterFile, second: AdapterFile) -> Comparison:
    """Compare what two adapters do."""
    rows = []
    apart = own = other = 0.0
    for module in sorted(first.changes.keys() | second.changes.keys()):
        one, two = first.changes.get(module), second.changes.get(module)
        if one is not None and two is not None and one.shape != two.shape:
            rows.append(LayerDifference(module, (_rank(one), _rank(two)), (_norm(one), _norm(two)), 1.0, None))
            apart, own, other = apart + math.inf, own + squared_norm(one), other + squared_norm(two)
            continue
        squares = squared_norm(one) if one else 0.0, squared_norm(two) if two else 0.0
        product = inner(one, two) if one and two else 0.0
        difference = max(squares[0] + squares[1] - 2 * product, 0.0)
        size = max(squares)
        norm = math.sqrt(squares[0] * squares[1])
        rows.append(
            LayerDifference(
                module,
                (_rank(one), _rank(two)),
                (math.sqrt(squares[0]), math.sqrt(squares[1])),
                math.sqrt(difference / size) if size else 0.0,
                max(-1.0, min(1.0, product / norm)) if norm else None,
            )
        )
        apart, own, other = apart + difference, own + squares[0], other + squares[1]
    keys = sorted(first.metadata.keys() | second.metadata.keys())
    texts = {key: (first.metadata.get(key), second.metadata.get(key)) for key in keys}
    size = max(own, other)
    total = 1.0 if math.isinf(apart) else math.sqrt(apart / size) if size else 0.0
    return Comparison(tuple(rows), {key: pair for key, pair in texts.items() if pair[0] != pair[1]}, total)


def _rank(change: Change | None) -> int | None:
    return change.rank if isinstance(change, LowRank) else None


def _norm(change: Change) -> float:
    return math.sqrt(squared_norm(change))
