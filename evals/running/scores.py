"""Score pictures from anywhere: cached, in batches, one bad picture spoiling no other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from evals.running.cache import Key, ScoreCache, key_of
from evals.scoring import Sample, Score, Scorer
from workbench.errors import Cancelled, WorkbenchError
from workbench.logs import get_logger

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken

BATCH = 16
Told = Callable[[int, int], None]
"""Called with how many scores are done and how many there will be."""


def score_pictures(
    samples: Sequence[Sample],
    scorers: Sequence[Scorer],
    cache: ScoreCache | None = None,
    *,
    told: Told | None = None,
    cancel: CancelToken | None = None,
) -> list[dict[str, Score]]:
    """Every scorer's score of every sample.

    Args:
        samples: pictures with what was asked of them.
        scorers: each name once.
        cache: read before, written after each batch; None: nothing is kept.
        told: progress, in scores.
        cancel: stops between two batches; what was scored is in the cache.

    Returns:
        For each sample, in order, scorer name to score. A picture that a scorer fails on has a score with an error.

    Raises:
        Cancelled: `cancel` was used.
        StoreError: the cache cannot be read or written.
    """
    found: list[dict[str, Score]] = [{} for _ in samples]
    total, done = len(samples) * len(scorers), 0
    for scorer in scorers:
        keys = [key_of(sample, scorer) for sample in samples]
        known = cache.read(keys, scorer) if cache else {}
        missing = list({key: place for place, key in enumerate(keys) if key not in known}.values())
        done += len(samples) - len(missing)
        for start in range(0, len(missing), BATCH):
            if cancel is not None and cancel.cancelled:
                raise Cancelled("The scoring was stopped.", "Run it again to score the rest.")
            part = missing[start : start + BATCH]
            fresh: dict[Key, Score] = {
                keys[place]: score
                for place, score in zip(part, _score(scorer, [samples[place] for place in part]), strict=True)
            }
            if cache:
                cache.write(fresh, scorer)
            known |= fresh
            done += len(part)
            if told:
                told(done, total)
        for place, key in enumerate(keys):
            found[place][scorer.name] = known[key]
    if told and total:
        told(total, total)
    return found


def _score(scorer: Scorer, samples: list[Sample]) -> list[Score]:
    """One score for each sample; when a batch fails, its samples are tried one by one."""
    try:
        scores = scorer.score(samples)
    except (KeyboardInterrupt, Cancelled):
        raise
    except Exception as error:  # noqa: BLE001  # a scorer may wrap any library; its failure must not lose the run
        if len(samples) > 1:
            return [_score(scorer, [sample])[0] for sample in samples]
        reason = error.message if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
        get_logger("evals").warning("a picture could not be scored", scorer=scorer.name, reason=reason)
        return [Score({}, error=" ".join(reason.split()))]
    if len(scores) != len(samples):
        return [Score({}, error=f"the scorer gave {len(scores)} scores for {len(samples)} pictures") for _ in samples]
    return [_sound(scorer, score) for score in scores]


def _sound(scorer: Scorer, score: Score) -> Score:
    """The score, or an error where its values are none: a name that is no metric, a number that is not finite."""
    if score.error:
        return score
    names: Mapping[str, object] = {metric.name: metric for metric in scorer.metrics}
    for name, value in score.values.items():
        if name not in names:
            return Score({}, error=f"the scorer gave the unknown metric {name!r}")
        if value is not None and not math.isfinite(value):
            return Score({}, error=f"the scorer gave {value} for {name!r}")
    return score
