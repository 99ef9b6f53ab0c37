"""Likeness in the features of a vision model such as DINOv2: the scorers `dino` and `diversity-dino`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evals.adherence.batch import score_each
from evals.adherence.weights import find_weights, load_image_processor, load_model, pick_device
from evals.scoring import Metric, Sample, Score, register

MODEL = "facebook/dinov2-base"


class FeatureModel:
    """Unit vectors of pictures from a vision transformer's first token.

    Args:
        source: a folder or the name of a model in the local cache of the hub.
        what: the scorer's name for messages.
        device: torch device.

    Raises:
        ScorerError: the weights are not here.
    """

    def __init__(self, source: str | Path, what: str, *, device: str | None = None) -> None:
        self._weights = find_weights(source, what)
        self._device = device
        self.version = self._weights.fingerprint

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        import torch

        model = load_model(self._weights, "AutoModel", pick_device(self._device), dtype=torch.float32)
        return model, load_image_processor(self._weights)

    def __call__(self, pictures: Sequence[Image.Image], batch: int = 16) -> NDArray[np.float32]:
        """Vectors (n, d) of length 1."""
        import torch

        model, processor = self._parts
        found = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch):
                part = [each.convert("RGB") for each in pictures[start : start + batch]]
                pixels = processor(images=part, return_tensors="pt")["pixel_values"].to(model.device)
                first = model(pixel_values=pixels).last_hidden_state[:, 0].float()  # (b, d)
                found.append((first / first.norm(dim=-1, keepdim=True)).cpu())
        return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


class _FeatureScorer:
    """Compares a picture with others in features."""

    name: str
    metrics: tuple[Metric, ...]

    def __init__(self, weights: str | Path, device: str | None) -> None:
        self._model = FeatureModel(weights, self.name, device=device)
        self.version = f"1-{self._model.version}"

    def _others(self, sample: Sample) -> tuple[Image.Image, ...]:
        raise NotImplementedError

    def _value(self, cosine: float) -> float:
        raise NotImplementedError

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample; no value where there is nothing to compare with."""
        return score_each(samples, self._score, batch=8)

    def _score(self, samples: Sequence[Sample]) -> list[Score]:
        others = [self._others(sample) for sample in samples]
        vectors = self._model(
            [picture for each, more in zip(samples, others, strict=True) for picture in (each.picture, *more)]
        )
        scores, place = [], 0
        for more in others:
            own, rest = vectors[place], vectors[place + 1 : place + 1 + len(more)]
            place += 1 + len(more)
            value = self._value(float((rest @ own).mean())) if more else None
            scores.append(Score({self.metrics[0].name: value}))
        return scores


@register("dino", "likeness to the references in DINOv2's features (needs its weights)")
class DinoScorer(_FeatureScorer):
    """Mean cosine to the references, as DINO-I in DreamBooth (Ruiz et al. 2023).

    Raises:
        ScorerError: the weights are not here.
    """

    name = "dino"
    reads = ("references",)
    metrics = (Metric("dino", low=-1.0, source="Ruiz et al. 2023: mean cosine of first tokens to the references"),)

    def __init__(self, weights: str | Path = MODEL, *, device: str | None = None) -> None:
        super().__init__(weights, device)

    def _others(self, sample: Sample) -> tuple[Image.Image, ...]:
        return sample.references

    def _value(self, cosine: float) -> float:
        return cosine


@register(
    "diversity-dino", "how much pictures of one prompt differ between seeds in DINOv2's features (needs its weights)"
)
class DinoDiversity(_FeatureScorer):
    """1 minus the mean cosine to the pictures of the same prompt with other seeds.

    Raises:
        ScorerError: the weights are not here.
    """

    name = "diversity-dino"
    metrics = (Metric("unlike_dino", high=2.0, source="1 - cosine of first tokens, mean over the other seeds"),)

    def __init__(self, weights: str | Path = MODEL, *, device: str | None = None) -> None:
        super().__init__(weights, device)

    def _others(self, sample: Sample) -> tuple[Image.Image, ...]:
        return sample.peers

    def _value(self, cosine: float) -> float:
        return 1 - cosine
