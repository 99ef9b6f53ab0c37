"""The score cache: what a score depends on, and what is never kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals.running import ScoreCache, score_pictures
from evals.running.cache import key_of
from evals.scoring import Sample, Score, picture_digest
from tests.evals.runs import GreyScorer
from workbench.engine.events import CancelToken
from workbench.errors import Cancelled, StoreError


def sample(level: int = 10, **fields: Any) -> Sample:
    picture = Image.fromarray(np.full((8, 8, 3), level, np.uint8))
    return Sample(picture, "grey", picture_digest(picture), **({"ask": {"level": level}} | fields))


def test_a_digest_holds_mode_size_and_pixels() -> None:
    flat = Image.new("L", (4, 2))
    digests = {picture_digest(each) for each in (flat, Image.new("L", (2, 4)), Image.new("L", (4, 2), 1))}
    digests |= {picture_digest(Image.new("RGB", (4, 2))), picture_digest(flat.copy())}
    assert len(digests) == 4


def test_a_second_scoring_reads_and_gives_the_same(tmp_path: Path) -> None:
    scorer, samples = GreyScorer(), [sample(level) for level in range(0, 200, 4)]
    first = score_pictures(samples, [scorer], ScoreCache(tmp_path))
    assert len(scorer.seen) == 50
    again = score_pictures(samples, [scorer], ScoreCache(tmp_path))  # another connection, as another process has
    assert len(scorer.seen) == 50
    assert again == first
    assert first[3]["grey"] == Score({"right": 1.0, "off": 0.0, "unasked": None}, {"grey": 0.0})


def test_equal_questions_are_asked_once(tmp_path: Path) -> None:
    scorer = GreyScorer()
    found = score_pictures([sample(7)] * 5, [scorer], ScoreCache(tmp_path))
    assert len(scorer.seen) == 1
    assert len({str(each) for each in found}) == 1


def test_anything_that_may_change_a_value_changes_the_key(tmp_path: Path) -> None:
    cache, scorer = ScoreCache(tmp_path), GreyScorer()
    other = Image.new("RGB", (8, 8))
    samples = [
        sample(), sample(ask={"level": 11}), sample(references=(other,)), sample(peers=(other,)), sample(cost={"s": 1.0})
    ]  # fmt: skip
    assert len({key_of(each, scorer) for each in samples}) == 5
    score_pictures(samples, [scorer], cache)
    assert len(scorer.seen) == 5
    newer = GreyScorer(version="2")
    score_pictures(samples, [newer], cache)
    assert len(newer.seen) == 5


def test_a_scorer_may_say_that_it_looks_at_less() -> None:
    class Narrow(GreyScorer):
        reads = ("references",)

    other = Image.new("RGB", (8, 8))
    narrow = Narrow()
    assert key_of(sample(peers=(other,)), narrow) == key_of(sample(), narrow)
    assert key_of(sample(references=(other,)), narrow) != key_of(sample(), narrow)


def test_errors_are_not_kept_and_spoil_no_other(tmp_path: Path) -> None:
    cache, samples = ScoreCache(tmp_path), [sample(1), sample(2, ask={"level": 2, "x": 1}), sample(3)]
    broken = GreyScorer(fails_on="grey")
    found = score_pictures(samples, [broken], cache)
    assert [each["grey"].error for each in found] == ["RuntimeError: the meter broke"] * 3
    whole = GreyScorer()
    assert [each["grey"].error for each in score_pictures(samples, [whole], cache)] == [""] * 3
    assert len(whole.seen) == 3


@pytest.mark.parametrize("values", [{"right": float("nan")}, {"right": float("inf")}, {"what": 1.0}])
def test_values_that_are_none_are_errors(values: dict[str, float]) -> None:
    class Odd(GreyScorer):
        def score(self, samples: Any) -> list[Score]:
            return [Score(values) for _ in samples]

    (found,) = score_pictures([sample()], [Odd()])
    assert "the scorer gave" in found["grey"].error
    assert not found["grey"].values


def test_scoring_can_be_stopped_and_keeps_what_is_done(tmp_path: Path) -> None:
    cancel, scorer, cache = CancelToken(), GreyScorer(), ScoreCache(tmp_path)
    samples = [sample(level) for level in range(40)]
    with pytest.raises(Cancelled):
        score_pictures(
            samples, [scorer], cache, told=lambda done, _: cancel.cancel() if done >= 16 else None, cancel=cancel
        )
    done = len(scorer.seen)
    assert 0 < done < 40
    score_pictures(samples, [scorer], cache)
    assert len(scorer.seen) == 40


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "scores.sqlite").write_bytes(b"this is no database, and it is long enough to be read as one" * 20)
    with pytest.raises(StoreError, match=r"score cache .* cannot be used.*Move the file away"):
        ScoreCache(tmp_path)
