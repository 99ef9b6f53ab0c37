"""Edit distances by rapidfuzz, loaded when the first one is asked for: listing scorers needs no extra package."""

from __future__ import annotations

from collections.abc import Sequence


def distance(a: Sequence[object] | str, b: Sequence[object] | str) -> int:
    """Levenshtein distance: the fewest insertions, deletions and substitutions of one unit."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(a, b)


def normalised(a: str, b: str) -> float:
    """Levenshtein distance over the longer length, 0 to 1; 0 for two empty texts."""
    return distance(a, b) / (max(len(a), len(b)) or 1)
