"""What a picture cost: the scorer `cost` reads what the run noted, and measures nothing itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evals.scoring import Metric, Sample, Score, register


@register("cost", "seconds, memory and price of each picture, as the run noted them")
class CostScorer:
    """Seconds of computing, gigabytes of memory at the peak and price; None where the run did not note one.

    A picture that came from the cache carries what it cost when it was made.
    """

    name = "cost"
    version = "1"
    metrics: tuple[Metric, ...] = (
        Metric("seconds", "lower", high=None, unit="s", source="time of the picture's batch divided by its size"),
        Metric("gigabytes", "lower", high=None, unit="GB", source="peak memory of the device"),
        Metric("price", "lower", high=None, unit="$", source="as the provider states it"),
    )

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample."""
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Score:
        values = {metric.name: sample.cost.get(metric.name) for metric in self.metrics}
        wrong = {name: value for name, value in values.items() if value is not None and not _possible(value)}
        if wrong:
            return Score(values={}, error=f"The run noted an impossible cost: {wrong}.")
        return Score(values=values)


def _possible(value: float) -> bool:
    return math.isfinite(value) and value >= 0
