"""Contenders and scorers whose right answers are known, for the tests of runs and reports."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from PIL import Image

from evals.running import Contender
from evals.scoring import Metric, Sample, Score
from evals.suite import Prompt, Suite


def grey_suite(count: int = 40, *, kinds: Sequence[str] = ("dark", "light", "plain")) -> Suite:
    """Prompts that ask for a grey level."""
    rows = tuple(
        Prompt(id=f"p{at:02}", kind=kinds[at % len(kinds)], prompt=f"grey {at} <b>&", ask={"level": 5 * at})
        for at in range(count)
    )
    return Suite(name="greys", version=1, about="Grey levels.", prompts=rows)


def painter(name: str, share: float, *, failing: float = 0.0) -> Contender:
    """Paints the asked level with probability `share`, another one else; fails with probability `failing`."""

    def draw(prompt: Prompt, seed: int) -> Image.Image:
        rng = Random(f"{name} {prompt.id} {seed}")
        if rng.random() < failing:
            raise ValueError("the brush broke")
        level = prompt.ask["level"] if rng.random() < share else prompt.ask["level"] + 30
        noise = np.random.default_rng(seed).integers(0, 2, size=(16, 16, 3))
        return Image.fromarray((np.full((16, 16, 3), level) + noise).astype(np.uint8))

    return Contender(name, {}, draw)


class GreyScorer:
    """Right or wrong, and how far off; counts its calls."""

    metrics: tuple[Metric, ...] = (
        Metric("right", source="the mean grey is the one asked"),
        Metric("off", direction="lower", high=None, unit="levels"),
        Metric("unasked"),
    )

    def __init__(self, name: str = "grey", version: str = "1", *, fails_on: str = "") -> None:
        self.name, self.version = name, version
        self.fails_on = fails_on
        self.seen: list[str] = []

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each."""
        found = []
        for sample in samples:
            self.seen.append(sample.picture_digest)
            if self.fails_on and self.fails_on in sample.prompt:
                raise RuntimeError("the meter broke")
            off = abs(float(np.asarray(sample.picture).mean()) - sample.ask["level"])
            found.append(Score({"right": float(off < 2), "off": off, "unasked": None}, {"grey": round(off, 1)}))
        return found
