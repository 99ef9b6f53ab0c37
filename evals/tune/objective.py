"""One number of a run: the weighted sum of metric means, turned so that higher is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evals.running import Cell, EvalRun
from evals.scoring import Metric, Scorer
from evals.tune.space import TuneError
from workbench.errors import nearest


@dataclass(frozen=True, slots=True)
class Part:
    """One metric of the objective."""

    scorer: str
    metric: Metric
    weight: float

    @property
    def name(self) -> str:
        """As the space names it."""
        return f"{self.scorer}.{self.metric.name}"

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return 1.0 if self.metric.direction == "higher" else -1.0

    def of(self, cell: Cell) -> float | None:
        """The metric's value of one picture; None where the prompt does not ask for it."""
        score = cell.scores.get(self.scorer)
        return score.values.get(self.metric.name) if score else None


def parts_of(weights: Mapping[str, float], scorers: list[Scorer]) -> tuple[Part, ...]:
    """The objective's metrics.

    Raises:
        TuneError: a scorer has no such metric.
    """
    known = {each.name: {metric.name: metric for metric in each.metrics} for each in scorers}
    found = []
    for name, weight in weights.items():
        scorer, _, metric = name.partition(".")
        if metric not in known[scorer]:
            raise TuneError(f"The scorer {scorer!r} has no metric {metric!r}.", nearest(metric, known[scorer]))
        found.append(Part(scorer, known[scorer][metric], weight))
    return tuple(found)


def values_of(run: EvalRun, contender: str, part: Part) -> dict[tuple[str, int], float]:
    """One metric by prompt id and place of the seed, where the prompt asks for it.

    Raises:
        TuneError: a picture or a score failed, or no prompt asks for the metric.
    """
    found = {}
    for cell in run.cells:
        if cell.contender != contender:
            continue
        if reason := cell.error or cell.scores[part.scorer].error:
            raise TuneError(f"The prompt {cell.prompt_id!r} has no score: {reason}")
        if (value := part.of(cell)) is not None:
            found[cell.prompt_id, cell.index] = value
    if not found:
        raise TuneError(
            f"None of the first {len(run.suite.prompts)} prompts asks for {part.name!r}.",
            "Raise prompts.first, or choose another suite or metric.",
        )
    return found


def objective(run: EvalRun, contender: str, parts: tuple[Part, ...]) -> dict[str, float]:
    """Means by metric, and under `objective` their weighted sum, higher is better.

    Raises:
        TuneError: as `values_of`.
    """
    means = {}
    for part in parts:
        values = values_of(run, contender, part)
        means[part.name] = sum(values.values()) / len(values)
    return means | {"objective": sum(part.weight * part.sign * means[part.name] for part in parts)}
