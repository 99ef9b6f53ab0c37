"""Scores samples in batches so that one bad sample spoils no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evals.scoring import Sample, Score
from workbench.errors import WorkbenchError

FAILURES = (WorkbenchError, ValueError, RuntimeError, OSError, ArithmeticError, LookupError)
"""What a picture or a model can do wrong. Anything else is a bug of ours and stops the run."""


def score_each(
    samples: Sequence[Sample], score: Callable[[Sequence[Sample]], list[Score]], *, batch: int = 16
) -> list[Score]:
    """One score for each sample, in order.

    A batch that fails is scored again one by one: the samples that still fail become a `Score` with the error, the others
    keep their values.

    Args:
        samples: any number.
        score: gives one score for each sample of a batch.
        batch: most samples at once.
    """
    scores: list[Score] = []
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        try:
            scores += score(part)
        except FAILURES as error:
            scores += [failed(error)] if len(part) == 1 else [_alone(each, score) for each in part]
    return scores


def failed(error: BaseException) -> Score:
    """A score that says only why there is none."""
    text = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
    return Score(values={}, error=text or type(error).__name__)


def _alone(sample: Sample, score: Callable[[Sequence[Sample]], list[Score]]) -> Score:
    try:
        return score([sample])[0]
    except FAILURES as error:
        return failed(error)
