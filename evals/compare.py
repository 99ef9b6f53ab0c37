"""Old against new: did a model, an adapter or a library upgrade make anything worse?

Only what is the same is compared: prompts with the same id and content, scorers with the same version, contenders with
the same name. What differs is said, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evals.reports.findings import Measure, paired_rows
from evals.reports.sentences import interval, number, p_value
from evals.running.types import EvalRun
from evals.statistics import Difference, holm, paired_difference
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd


class CompareError(WorkbenchError):
    """Two runs have nothing in common that could be compared."""

    code = "WB407"


@dataclass(frozen=True, slots=True)
class Change:
    """One measure of one contender, new minus old."""

    measure: Measure
    old: str  # names of the contenders
    new: str
    difference: Difference
    dropped: int  # pictures of the one or the other without a partner

    @property
    def sentence(self) -> str:
        """What happened, with interval and p-value."""
        found, measure = self.difference, self.measure
        word = {None: "has not shown a change", True: "is better", False: "is worse"}[found.better]
        who = self.new if self.new == self.old else f"{self.new} (against {self.old})"
        by = f"{number(found.value, measure, signed=True, unit=True)}, 95 % interval "
        by += interval(found.low, found.high, measure, signed=True)
        return (
            f"{who} {word} on {measure.title}: {by}, {p_value(found.p_adjusted)} after Holm's correction, "
            f"n = {found.n} pairs of {found.clusters} prompts."
        )


@dataclass(frozen=True, slots=True)
class RunComparison:
    """The changes between two runs.

    Attributes:
        changes: main metrics first.
        notes: what differs and was left out, one sentence each.
        regressions: why the gate is shut, one sentence each; empty when it is open.
    """

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    regressions: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the gate is open."""
        return not self.regressions


def compare_runs(old: EvalRun, new: EvalRun, *, tolerance: float = 0.0) -> RunComparison:
    """Compare two runs of the same suite.

    The gate shuts when a main metric is shown to be worse (its interval lies wholly on the worse side, p below 5 % after
    Holm's correction) by more than `tolerance`, or when more pictures fail than before.

    Args:
        old: the reference.
        new: what is tested.
        tolerance: a loss that is accepted, in the metric's own unit: 0.01 is one point of a share.

    Raises:
        CompareError: no prompt, scorer or contender is in both, or the tolerance is negative.
    """
    if not tolerance >= 0:
        raise CompareError(f"The tolerance cannot be {tolerance}.", "Use 0 or more.")
    prompts, notes = _prompts(old, new)
    pairs = _contenders(old, new, notes)
    measures = _measures(old, new, notes)
    paired = _same_seeds(old, new, notes)
    before, after = old.frame(), new.frame()
    changes = [
        change for measure in measures for change in _changes(measure, before, after, pairs, prompts, paired=paired)
    ]
    if not changes:
        raise CompareError("No picture has a value in both runs.", "Compare runs of the same suite and scorers.")
    changes = _corrected(changes)
    worse = [each.sentence for each in changes if each.measure.main and _lost(each, tolerance)]
    worse += list(_failures(old, new, pairs, prompts))
    return RunComparison(tuple(sorted(changes, key=lambda each: not each.measure.main)), tuple(notes), tuple(worse))


def _prompts(old: EvalRun, new: EvalRun) -> tuple[set[str], list[str]]:
    """Ids of the prompts that are the same in both runs, and what is not."""
    before, after = ({each.id: each.fingerprint for each in run.suite.prompts} for run in (old, new))
    notes = []
    for name, these, those in (("old", before, after), ("new", after, before)):
        if only := [each for each in these if each not in those]:
            notes.append(f"{len(only)} prompts are in the {name} run only and were left out, for example {only[0]!r}.")
    shared = [each for each in before if each in after]
    if changed := [each for each in shared if before[each] != after[each]]:
        notes.append(f"{len(changed)} prompts were changed under the same id and were left out, first {changed[0]!r}.")
    same = {each for each in shared if before[each] == after[each]}
    if not same:
        raise CompareError(
            f"The runs share no prompt: {old.suite.name!r} and {new.suite.name!r}.", "Run the same suite twice."
        )
    return same, notes


def _contenders(old: EvalRun, new: EvalRun, notes: list[str]) -> list[tuple[str, str]]:
    shared = [(name, name) for name in old.names if name in new.names]
    if not shared and len(old.names) == len(new.names) == 1:
        return [(old.names[0], new.names[0])]
    if not shared:
        raise CompareError(
            f"The runs share no contender: {', '.join(old.names)} and {', '.join(new.names)}.",
            "Give them the same names, or one contender each.",
        )
    known = {name for name, _ in shared}
    if rest := [name for name in (*old.names, *new.names) if name not in known]:
        notes.append(f"Contenders in one run only were left out: {', '.join(rest)}.")
    return shared


def _measures(old: EvalRun, new: EvalRun, notes: list[str]) -> list[Measure]:
    before = {each.name: each for each in old.scorers}
    found: list[Measure] = []
    for scorer in new.scorers:
        if scorer.name not in before:
            notes.append(f"The scorer {scorer.name} is in the new run only and was left out.")
        elif before[scorer.name].version != scorer.version:
            notes.append(
                f"The scorer {scorer.name} changed from version {before[scorer.name].version} to {scorer.version} and was "
                "left out: score the old pictures again by running the old run.yaml."
            )
        else:
            known = {each.name for each in before[scorer.name].metrics}
            found += [Measure(scorer, metric) for metric in scorer.metrics if metric.name in known]
    names = {each.name for each in new.scorers}
    notes += [f"The scorer {name} is in the old run only and was left out." for name in before if name not in names]
    if not found:
        raise CompareError("The runs share no scorer of the same version.", " ".join(notes) or "Use the same scorers.")
    return found


def _same_seeds(old: EvalRun, new: EvalRun, notes: list[str]) -> bool:
    if old.paired and new.paired and old.base_seed == new.base_seed:
        if old.seeds != new.seeds:
            notes.append(
                f"The runs have {old.seeds} and {new.seeds} seeds a prompt; those that both have are compared."
            )
        return True
    notes.append("The runs drew with different seeds, so the means of prompts are compared, which is less sharp.")
    return False


def _changes(
    measure: Measure,
    before: pd.DataFrame,
    after: pd.DataFrame,
    pairs: list[tuple[str, str]],
    prompts: set[str],
    *,
    paired: bool,
) -> Iterator[Change]:
    old_rows, new_rows = (
        each[(each["scorer"] == measure.key[0]) & (each["metric"] == measure.key[1]) & each["prompt_id"].isin(prompts)]
        for each in (before, after)
    )
    for old, new in pairs:
        found = paired_rows(
            new_rows[new_rows["contender"] == new], old_rows[old_rows["contender"] == old], paired=paired
        )
        if found is None:
            continue
        table, dropped = found
        difference = paired_difference(
            table["value_a"], table["value_b"], list(table["cluster"]), direction=measure.metric.direction
        )
        yield Change(measure, old, new, difference, dropped)


def _corrected(changes: list[Change]) -> list[Change]:
    """With Holm's correction: main metrics are one family, all others another."""
    corrected = dict(enumerate(changes))
    for main in (True, False):
        places = [at for at, each in enumerate(changes) if each.measure.main is main]
        for at, difference in zip(places, holm([changes[at].difference for at in places]), strict=True):
            corrected[at] = replace(changes[at], difference=difference)
    return list(corrected.values())


def _lost(change: Change, tolerance: float) -> bool:
    found = change.difference
    nearest = found.high if found.direction == "higher" else -found.low  # the end of the interval nearest to no loss
    return found.better is False and nearest < -tolerance


def _failures(old: EvalRun, new: EvalRun, pairs: list[tuple[str, str]], prompts: set[str]) -> Iterator[str]:
    for before, after in pairs:
        failed, total = [], []
        for run, name in ((old, before), (new, after)):
            cells = [cell for cell in run.cells if cell.contender == name and cell.prompt_id in prompts]
            failed.append(sum(bool(c.error or any(score.error for score in c.scores.values())) for c in cells))
            total.append(len(cells))
        if failed[1] / max(1, total[1]) > failed[0] / max(1, total[0]):
            yield (
                f"{after} fails more often: {failed[1]} of {total[1]} pictures could not be made or scored, {failed[0]} of "
                f"{total[0]} before."
            )
