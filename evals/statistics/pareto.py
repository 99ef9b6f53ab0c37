"""The Pareto front of time against quality: who is beaten by nobody in both."""

from __future__ import annotations

from collections.abc import Sequence

from evals.scoring import Direction


def pareto_front(costs: Sequence[float], qualities: Sequence[float], direction: Direction = "higher") -> list[int]:
    """Places of the points that no other point beats: none is at most as dear and at least as good, and better in one.

    Args:
        costs: (n,) seconds or another price; lower is better.
        qualities: (n,) values of a metric.
        direction: which qualities are better.

    Returns:
        From cheapest to dearest; equal points are all on the front or all off it.
    """
    signed = [quality if direction == "higher" else -quality for quality in qualities]
    points = list(zip(costs, signed, strict=True))
    front = [
        place
        for place, (cost, quality) in enumerate(points)
        if not any(c <= cost and q >= quality and (c, q) != (cost, quality) for c, q in points)
    ]
    return sorted(front, key=lambda place: points[place])
