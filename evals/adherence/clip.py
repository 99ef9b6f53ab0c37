"""CLIPScore and SigLIP: how near a picture and its prompt lie in an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.adherence.batch import score_each
from evals.adherence.encoders import DualEncoder, Vectors
from evals.scoring import Metric, Sample, Score, register

VERSION = "1"
PREFIX = "A photo depicts "  # of the paper's CLIPScore
HESSEL = "Hessel et al. 2021, CLIPScore: 2.5 max(cos, 0), with the prefix 'A photo depicts '"


@register("clipscore", "cosine of picture and prompt in CLIP (needs CLIP weights)")
class ClipScore:
    """CLIPScore in its two common scales.

    `cosine_100` is 100 times the cosine of picture and prompt: its mean, not below 0, is what torchmetrics calls
    CLIPScore. `hessel` is the definition of the paper.

    Args:
        weights: a folder or hub name of a CLIP model; OpenAI's ViT-L/14 is what GenEval and most papers use.
        device: torch device.

    Raises:
        ScorerError: the weights are not here.
    """

    name = "clipscore"
    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache
    metrics: tuple[Metric, ...] = (
        Metric("cosine_100", low=-100.0, high=100.0, source="torchmetrics CLIPScore before its mean and clamp"),
        Metric("hessel", high=2.5, source=HESSEL),
    )

    def __init__(self, weights: str | Path = "openai/clip-vit-large-patch14", *, device: str | None = None) -> None:
        self._encoder = DualEncoder(weights, "CLIPScore", device=device)
        self.version = f"{VERSION}-{self._encoder.version}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample."""
        return score_each(samples, self._score)

    def _score(self, samples: Sequence[Sample]) -> list[Score]:
        prompts = [sample.prompt for sample in samples]
        pictures = self._encoder.pictures([sample.picture for sample in samples])
        plain = _cosines(pictures, self._encoder.texts(prompts))
        depicts = _cosines(pictures, self._encoder.texts([PREFIX + prompt for prompt in prompts]))
        return [
            Score(
                {"cosine_100": 100 * cosine, "hessel": 2.5 * max(other, 0.0)},
                {"prompt_cut": self._encoder.is_cut(prompt)},
            )
            for prompt, cosine, other in zip(prompts, plain, depicts, strict=True)
        ]


@register("siglip", "probability that picture and prompt belong together in SigLIP (needs SigLIP weights)")
class SiglipScore:
    """SigLIP's own probability of a match, and the cosine.

    Args:
        weights: a folder or hub name of a SigLIP or SigLIP 2 model.
        device: torch device.

    Raises:
        ScorerError: the weights are not here.
    """

    name = "siglip"
    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache
    metrics: tuple[Metric, ...] = (
        Metric("match", source="Zhai et al. 2023, SigLIP: sigmoid(scale cos + bias)"),
        Metric("cosine_100", low=-100.0, high=100.0, source="100 times the cosine, as CLIPScore"),
    )

    def __init__(self, weights: str | Path = "google/siglip2-so400m-patch14-384", *, device: str | None = None) -> None:
        self._encoder = DualEncoder(weights, "SigLIP", device=device)
        self.version = f"{VERSION}-{self._encoder.version}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample."""
        return score_each(samples, self._score)

    def _score(self, samples: Sequence[Sample]) -> list[Score]:
        from scipy.special import expit

        encoder = self._encoder
        prompts = [sample.prompt for sample in samples]
        cosines = _cosines(encoder.pictures([sample.picture for sample in samples]), encoder.texts(prompts))
        return [
            Score(
                {"match": float(expit(encoder.scale * cosine + encoder.bias)), "cosine_100": 100 * cosine},
                {"prompt_cut": encoder.is_cut(prompt)},
            )
            for prompt, cosine in zip(prompts, cosines, strict=True)
        ]


def _cosines(pictures: Vectors, texts: Vectors) -> list[float]:
    return [float(value) for value in (pictures * texts).sum(axis=-1)]
