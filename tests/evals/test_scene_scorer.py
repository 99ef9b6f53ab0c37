"""The judge of scenes as a scorer: rendered scenes are right, other prompts are errors."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

from PIL import Image

from evals.scenes.scorer import SceneScorer
from evals.scoring import Sample, picture_digest
from workbench.nano.render import render
from workbench.nano.scenes import Kind, sample_scene


def sample(kind: Kind, seed: int, prompt: str | None = None, **ask: Any) -> Sample:
    scene = sample_scene(Random(seed), kind=kind)
    picture = Image.fromarray(render(scene))
    return Sample(picture, prompt or scene.prompt, picture_digest(picture), ask)


def test_rendered_scenes_are_right_and_others_wrong() -> None:
    scorer = SceneScorer()
    kinds: tuple[Kind, ...] = ("single", "relation", "count", "word")
    samples = [sample(kind, seed) for kind in kinds for seed in range(5)]
    scores = scorer.score(samples)
    assert sum(score.values["exact"] == 1.0 for score in scores) >= 19
    for score in scores:
        assert set(score.values) == {metric.name for metric in scorer.metrics}
    assert scores[0].values["word"] is None  # no word is asked
    assert scores[-1].values["word"] == 1.0
    swapped = [Sample(a.picture, b.prompt, a.picture_digest) for a, b in itertools.pairwise(samples)]
    assert sum(score.values["exact"] or 0.0 for score in scorer.score(swapped)) <= 1


def test_a_prompt_outside_the_grammar_is_an_error() -> None:
    good, bad = SceneScorer().score([sample("single", 1), sample("single", 1, prompt="A corgi surfing at dawn.")])
    assert not good.error
    assert bad.error
    assert not bad.values


def test_the_version_names_judge_and_reader() -> None:
    assert "rapidocr" in SceneScorer().version
