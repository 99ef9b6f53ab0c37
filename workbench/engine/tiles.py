"""Overlapping tiles along an axis, and the weights that blend them without a seam. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]


def spans(length: int, tile: int, overlap: int, multiple: int = 1) -> list[Span]:
    """Starts and ends of the tiles that cover an axis, all of one size, evenly spread.

    Args:
        length: of the axis, in any unit.
        tile: length of a tile; an axis that is no longer is one tile.
        overlap: the least that two neighbours share, 0 to tile - 1.
        multiple: what starts are multiples of; `length` and `tile` must be too.

    Returns:
        In order; the first begins at 0, the last ends at `length`.
    """
    if length <= tile:
        return [(0, length)]
    if not 0 <= overlap < tile or length % multiple or tile % multiple:
        raise ValueError("an overlap is shorter than its tile, and lengths are multiples")
    room, step = (length - tile) // multiple, max(1, (tile - overlap) // multiple)
    count = math.ceil(room / step)
    starts = [round(room * place / count) * multiple for place in range(count + 1)]
    # Rounding may take a unit from an overlap; one more tile then gives it back.
    if any(start + tile - after < overlap for start, after in pairwise(starts)):
        starts = [min(place * step, room) * multiple for place in range(count + 1)]
    return [(start, start + tile) for start in starts]


def weights(tiles: Sequence[Span]) -> list[NDArray[np.float32]]:
    """Weights along an axis, one array per tile: they sum to 1 everywhere and rise in a straight line over an overlap.

    Args:
        tiles: as `spans` gives them.
    """
    length = tiles[-1][1]
    raw = np.zeros((len(tiles), length))
    for place, (start, stop) in enumerate(tiles):
        rise = np.ones(stop - start)
        where = np.arange(stop - start) + 0.5
        if place > 0 and (shared := tiles[place - 1][1] - start) > 0:
            rise = np.minimum(rise, where / shared)
        if place + 1 < len(tiles) and (shared := stop - tiles[place + 1][0]) > 0:
            rise = np.minimum(rise, where[::-1] / shared)
        raw[place, start:stop] = rise
    parts = raw / raw.sum(axis=0)
    return [part[start:stop].astype(np.float32) for part, (start, stop) in zip(parts, tiles, strict=True)]
