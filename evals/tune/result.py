"""The outcome of a search: all trials, the winner, and what it is worth on prompts that the search has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.running import Contender, EvalRun, run_suite
from evals.scoring import Direction, Scorer
from evals.statistics import Difference, Estimate, holm, mean_interval, paired_difference
from evals.suite import Suite
from evals.tune.objective import Part, values_of
from evals.tune.space import Space, TuneError, Value
from workbench.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

    from workbench.engine.events import CancelToken, Listener
    from workbench.session import Session

DEFAULT, BEST = "default", "best"
Values = dict[tuple[str, int], float]  # by prompt id and place of the seed


@dataclass(frozen=True, slots=True)
class Trial:
    """One proposal and how it fared."""

    number: int
    state: str  # "done", "stopped early" or "failed"
    params: dict[str, Value]
    means: dict[str, float]  # by metric and "objective", over the prompts it has seen
    prompts: int  # how many it has seen
    fields: dict[str, Any]  # of the recipe
    error: str = ""

    @property
    def objective(self) -> float | None:
        """Higher is better; None for a trial that failed."""
        return None if self.error else self.means.get("objective")


@dataclass(frozen=True, slots=True)
class Compared:
    """Winner and default by one number, on held-out prompts."""

    name: str  # of the metric, or "objective"
    direction: Direction
    best: Estimate
    default: Estimate
    difference: Difference  # best - default; p-values corrected by Holm over the metrics, the objective on its own


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What a search found.

    Attributes:
        space: what was searched.
        trials: in order.
        best: the done trial with the best objective, the earliest of equals.
        default: means of the default over the search's prompts, and their `objective`.
        search_prompts: how many prompts the search has used.
        run: winner and default on the held-out prompts.
        compared: the objective first, then every metric.
        notes: what a reader must know, one sentence each.
    """

    space: Space
    trials: tuple[Trial, ...]
    best: Trial
    default: dict[str, float]
    search_prompts: int
    run: EvalRun
    compared: tuple[Compared, ...]
    notes: tuple[str, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """The winner's recipe, without a prompt."""
        return Recipe.parse(self.best.fields)

    @property
    def sentence(self) -> str:
        """The finding, with its interval and how many prompts it rests on."""
        found = self.compared[0]
        difference = found.difference
        words = {True: "is better than", False: "is worse than", None: "cannot be told from"}[difference.better]
        settings = ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
                             for name, value in self.best.params.items())  # fmt: skip
        return (
            f"The best of {len(self.trials)} trials ({settings}) {words} the default on {difference.clusters} prompts that "
            f"the search has not seen: objective {found.best.value:.3f} against {found.default.value:.3f}, difference "
            f"{difference.value:+.3f}, 95 % interval {difference.low:+.3f} to {difference.high:+.3f}, p = {difference.p:.3f}."
        )

    def frame(self) -> pd.DataFrame:
        """One row for each trial: number, state, prompts seen, its parameters, its means, error."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"trial": each.number, "state": each.state, "prompts": each.prompts}
                | {f"param {name}": value for name, value in each.params.items()}
                | each.means
                | {"error": each.error}
                for each in self.trials
            ]
        )

    def save(self, folder: str | Path) -> list[Path]:
        """Write the report; see `evals.tune.report.write`."""
        from evals.tune.report import write

        return write(self, Path(folder))


def concluded(
    session: Session,
    space: Space,
    trials: tuple[Trial, ...],
    default: dict[str, float],
    unseen: Suite,
    *,
    parts: tuple[Part, ...],
    scorers: Sequence[Scorer],
    listen: Listener | None = None,
    cancel: CancelToken | None = None,
) -> TuneResult:
    """Choose the winner and compare it with the default on the held-out prompts.

    Raises:
        TuneError: no trial succeeded, or a picture of the comparison failed.
    """
    done = [each for each in trials if each.state == "done"]
    if not done:
        reasons = sorted({each.error for each in trials if each.error})
        raise TuneError(f"None of {len(trials)} trials succeeded: {'; '.join(reasons[:3])}")
    best = max(done, key=lambda each: (each.means["objective"], -each.number))
    contenders = [Contender(BEST, best.fields), Contender(DEFAULT, space.fields({}))]
    run = run_suite(
        session, unseen, contenders, seeds=space.seeds, scorers=list(scorers), listen=listen, cancel=cancel
    )  # fmt: skip
    return TuneResult(
        space,
        trials,
        best,
        default,
        max(each.prompts for each in done),
        run,
        _compare(run, parts),
        _notes(trials, space.trials),
    )


def _compare(run: EvalRun, parts: tuple[Part, ...]) -> tuple[Compared, ...]:
    groups = {each.id: each.group for each in run.suite.prompts}
    sides = {part: (values_of(run, BEST, part), values_of(run, DEFAULT, part)) for part in parts}
    found = [_one(part.name, part.metric.direction, both, groups) for part, both in sides.items()]
    corrected = holm([each.difference for each in found])
    metrics = [replace(each, difference=difference) for each, difference in zip(found, corrected, strict=True)]
    best, default = (_shares({part: both[place] for part, both in sides.items()}) for place in (0, 1))
    return (_one("objective", "higher", (best, default), groups), *metrics)


def _shares(values: dict[Part, Values]) -> Values:
    """Each picture's share in the objective: their mean is the weighted sum of the metrics' means.

    A metric that only some prompts ask for counts there as many times more as it is rarer.
    """
    pictures = dict.fromkeys(key for each in values.values() for key in each)
    return {
        key: sum(
            part.weight * part.sign * each[key] * len(pictures) / len(each)
            for part, each in values.items()
            if key in each
        )
        for key in pictures
    }


def _one(name: str, direction: Direction, both: tuple[Values, Values], groups: dict[str, str]) -> Compared:
    best, default = both
    keys = [key for key in best if key in default]
    if len(keys) < max(len(best), len(default)):
        raise TuneError(f"Winner and default do not have {name!r} for the same pictures, so they cannot be compared.")
    clusters = [groups[prompt] for prompt, _ in keys]
    a, b = ([side[key] for key in keys] for side in both)
    return Compared(
        name, direction, mean_interval(a, clusters, direction=direction), mean_interval(b, clusters, direction=direction),
        paired_difference(a, b, clusters, direction=direction),
    )  # fmt: skip


def _notes(trials: tuple[Trial, ...], wanted: int) -> tuple[str, ...]:
    failed = [each for each in trials if each.state == "failed"]
    early = sum(each.state == "stopped early" for each in trials)
    notes = [f"{len(trials)} recipes were tried; {early} were stopped early."]
    if len(trials) < wanted:
        notes.append(f"The search ended before {wanted} trials, as nothing new was proposed.")
    if failed:
        notes.append(f"{len(failed)} trials failed; the first: {failed[0].error}")
    return tuple(notes)
