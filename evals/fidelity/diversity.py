"""How much pictures of one prompt differ between seeds: the scorer `diversity`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from evals.adherence.batch import score_each
from evals.fidelity.pixels import same_size, ssim
from evals.scoring import Metric, Sample, Score, register


def lab_distance(first: Image.Image, second: Image.Image) -> float:
    """Mean Euclidean CIELAB distance of equal pixels (CIE76), 0 and up.

    Raises:
        AskError: the sizes differ.
    """
    from skimage.color import rgb2lab

    a, b = same_size(first, second)
    return float(np.linalg.norm(rgb2lab(a) - rgb2lab(b), axis=-1).mean())


@register("diversity", "how much pictures of one prompt differ between seeds, by pixels; no weights")
class DiversityScorer:
    """Mean distance of a picture to the pictures of its prompt with other seeds; no value where there are none.

    The mean over all pictures of a prompt is the mean over its pairs.
    """

    name = "diversity"
    version = "1"
    metrics: tuple[Metric, ...] = (
        Metric("unlike", high=2.0, source="1 - SSIM, mean over the other seeds"),
        Metric(
            "lab_distance", high=None, unit="CIE76", source="mean pixel distance in CIELAB, mean over the other seeds"
        ),
    )

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample."""
        return score_each(samples, lambda part: [self._one(sample) for sample in part], batch=1)

    def _one(self, sample: Sample) -> Score:
        if not sample.peers:
            return Score(values={metric.name: None for metric in self.metrics})
        unlike = [1 - ssim(sample.picture, peer) for peer in sample.peers]
        distances = [lab_distance(sample.picture, peer) for peer in sample.peers]
        return Score({"unlike": float(np.mean(unlike)), "lab_distance": float(np.mean(distances))})
