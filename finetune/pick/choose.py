"""The rule that chooses, as plain statistics over aligned values.

1. A candidate is out when the control shows that it does worse than the base on unrelated prompts.
2. The leader is the candidate with the best mean on the prompts that ask for what was learned.
3. Candidates that cannot be told from the leader are as good as it, for all that was measured.
4. Of the leader and these, the one that changes pictures of unrelated prompts least is kept.

All tests are paired over prompts and seeds; each of the three questions (better than the base? worse on the control?
different from the leader?) is one family for Holm's correction. When no candidate is shown to be better than the base,
none is kept. The best of many looks better than it is, so the gain that is reported should come from other pictures:
`finetune.pick.run` draws the choice again with fresh seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.scoring import Direction
from evals.statistics import Difference, Estimate, holm, mean_interval, paired_difference
from finetune.pick.candidates import Candidate
from finetune.pick.config import PickError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Values:
    """One measurement of the base and all candidates, picture by picture.

    Attributes:
        title: of the metric, for sentences.
        share: whether it is shown in points of 100.
        direction: whether higher or lower is better.
        clusters: (n,) prompt of each picture.
        base: (n,) of the base; NaN where there is no value.
        candidates: (n,) of each candidate, in the same order.
    """

    title: str
    share: bool
    direction: Direction
    clusters: tuple[str, ...]
    base: Floats
    candidates: Mapping[Candidate, Floats]

    def gain(self, candidate: Candidate) -> Difference:
        """Candidate minus base, over the pictures that both have."""
        return self._paired(self.candidates[candidate], self.base)

    def against(self, candidate: Candidate, other: Candidate) -> Difference:
        """Candidate minus another one."""
        return self._paired(self.candidates[candidate], self.candidates[other])

    def mean(self, candidate: Candidate | None) -> Estimate:
        """Mean of a candidate, or of the base."""
        values = self.base if candidate is None else self.candidates[candidate]
        kept = ~np.isnan(values)
        return mean_interval(values[kept], self._clusters(kept), direction=self.direction)

    def _paired(self, first: Floats, second: Floats) -> Difference:
        kept = ~np.isnan(first) & ~np.isnan(second)
        if not kept.any():
            raise PickError(f"No picture has a value of {self.title} on both sides.", "Use another scorer.")
        return paired_difference(first[kept], second[kept], self._clusters(kept), direction=self.direction)

    def _clusters(self, kept: NDArray[np.bool_]) -> list[str]:
        return [name for name, keep in zip(self.clusters, kept, strict=True) if keep]


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found out about one candidate.

    Attributes:
        candidate: checkpoint and weight.
        target: mean on the prompts that ask for what was learned.
        gain: that minus the base's.
        control: mean on unrelated prompts, where their scorer gives values.
        loss: that minus the base's.
        drift: how much pictures of unrelated prompts change: 1 - SSIM to the base's picture of the same seed.
        admissible: no loss on the control is shown.
        tied: not distinguishable from the leader (which itself is tied).
    """

    candidate: Candidate
    target: Estimate
    gain: Difference
    control: Estimate | None
    loss: Difference | None
    drift: Estimate
    admissible: bool
    tied: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome.

    Attributes:
        judged: every candidate, by step and weight.
        leader: of the admissible ones the best mean; None when no one is admissible.
        keep: the one to keep; None when nothing is shown to be better than the base.
    """

    judged: tuple[Judged, ...]
    leader: Judged | None
    keep: Judged | None

    @property
    def ties(self) -> tuple[Judged, ...]:
        """Candidates as good as the one to keep, for all that was measured."""
        return tuple(each for each in self.judged if each.tied and each.admissible and each is not self.keep)


def choose(target: Values, control: Values | None, drift: Values) -> Choice:
    """Apply the rule.

    Args:
        target: values on the prompts that ask for what was learned.
        control: values on unrelated prompts; None where nothing there can be scored.
        drift: 1 - SSIM on unrelated prompts; lower is better.

    Raises:
        PickError: there are no candidates, or no picture has a value.
    """
    candidates = sorted(target.candidates, key=lambda each: (each.step, each.weight))
    if not candidates:
        raise PickError("There is nothing to choose from.", "Name a checkpoint and a weight.")
    gains = holm([target.gain(each) for each in candidates])
    losses = holm([control.gain(each) for each in candidates]) if control else None
    admissible = [losses is None or losses[place].better is not False for place in range(len(candidates))]
    sign = 1 if target.direction == "higher" else -1
    means = [target.mean(each) for each in candidates]
    ranked = sorted(
        (place for place in range(len(candidates)) if admissible[place]), key=lambda place: -sign * means[place].value
    )
    first = ranked[0] if ranked else None
    tied = _tied(target, candidates, candidates[first] if first is not None else None)
    judged = tuple(
        Judged(
            each,
            means[place],
            gains[place],
            control.mean(each) if control else None,
            losses[place] if losses else None,
            drift.mean(each),
            admissible[place],
            tied[place],
        )
        for place, each in enumerate(candidates)
    )
    leader = judged[first] if first is not None else None
    shown = [each for each in judged if each.admissible and each.tied and each.gain.better]
    keep = min(shown, key=lambda each: (each.drift.value, each.candidate.weight, each.candidate.step), default=None)
    return Choice(judged, leader, keep)


def _tied(target: Values, candidates: Sequence[Candidate], leader: Candidate | None) -> list[bool]:
    if leader is None:
        return [False] * len(candidates)
    others = [each for each in candidates if each != leader]
    found = dict(zip(others, holm([target.against(leader, each) for each in others]), strict=True))
    return [each == leader or found[each].better is not True for each in candidates]
