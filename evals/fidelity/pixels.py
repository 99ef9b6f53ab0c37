"""PSNR and SSIM between a picture and its reference: the scorer `similarity`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from evals.adherence.asks import AskError
from evals.adherence.batch import score_each
from evals.scoring import Metric, Sample, Score, register

HIGHEST_PSNR = 100.0  # decibels given to equal pictures, whose PSNR is infinite


def psnr(first: Image.Image, second: Image.Image) -> float:
    """Peak signal-to-noise ratio over RGB in decibels, 0 and up; 100 for equal pictures.

    Raises:
        AskError: the sizes differ.
    """
    a, b = same_size(first, second)
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return HIGHEST_PSNR if error == 0 else min(HIGHEST_PSNR, 10 * math.log10(255**2 / error))


def ssim(first: Image.Image, second: Image.Image) -> float:
    """Structural similarity as published (Wang et al. 2004), mean over RGB, -1 to 1.

    Gaussian windows of 11 pixels and sigma 1.5, covariances without the sample correction, by scikit-image.

    Raises:
        AskError: the sizes differ, or a side is below 11 pixels.
    """
    from skimage.metrics import structural_similarity

    a, b = same_size(first, second)
    if min(a.shape[:2]) < 11:
        raise AskError(f"SSIM needs pictures of at least 11 pixels; this one is {first.width}x{first.height}.")
    return float(
        structural_similarity(
            a, b, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def same_size(first: Image.Image, second: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Both as uint8 (height, width, 3).

    Raises:
        AskError: the sizes differ; nothing is scaled in silence.
    """
    if first.size != second.size:
        raise AskError(
            f"The picture is {first.width}x{first.height} and its reference {second.width}x{second.height}.",
            "Make both in one size: give the row a width and a height.",
        )
    return np.asarray(first.convert("RGB")), np.asarray(second.convert("RGB"))


@register("similarity", "PSNR and SSIM to the picture an edit started from; no weights")
class SimilarityScorer:
    """How near the picture is to its first reference; no value where there is none."""

    name = "similarity"
    reads = ("references",)
    version = "1"
    metrics: tuple[Metric, ...] = (
        Metric("ssim", low=-1.0, source="Wang et al. 2004, Gaussian windows, scikit-image"),
        Metric("psnr", high=HIGHEST_PSNR, unit="dB", source="over RGB of 8 bits; 100 for equal pictures"),
    )

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample."""
        return score_each(samples, lambda part: [self._one(sample) for sample in part], batch=1)

    def _one(self, sample: Sample) -> Score:
        if not sample.references:
            return Score(values={metric.name: None for metric in self.metrics})
        reference = sample.references[0]
        return Score({"ssim": ssim(sample.picture, reference), "psnr": psnr(sample.picture, reference)})
