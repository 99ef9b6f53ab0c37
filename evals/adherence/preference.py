"""Models of human preference that are CLIP models with other weights: PickScore and HPS v2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from evals.adherence.batch import score_each
from evals.adherence.encoders import DualEncoder
from evals.scoring import Metric, Sample, Score, ScorerError, register

VERSION = "1"


class _Preference:
    """A scaled cosine of picture and prompt."""

    name: ClassVar[str]
    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache
    metrics: ClassVar[tuple[Metric, ...]]

    def __init__(self, weights: str | Path, device: str | None) -> None:
        self._encoder = DualEncoder(weights, self.name, device=device)
        self.version = f"{VERSION}-{self._encoder.version}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample; absolute values mean little, differences between models on one prompt do."""
        return score_each(samples, self._score)

    def _factor(self) -> float:
        raise NotImplementedError

    def _score(self, samples: Sequence[Sample]) -> list[Score]:
        pictures = self._encoder.pictures([sample.picture for sample in samples])
        texts = self._encoder.texts([sample.prompt for sample in samples])
        metric, factor = self.metrics[0].name, self._factor()
        return [
            Score({metric: factor * float(cosine)}, {"prompt_cut": self._encoder.is_cut(sample.prompt)})
            for sample, cosine in zip(samples, (pictures * texts).sum(axis=-1), strict=True)
        ]


@register("pickscore", "PickScore, a CLIP ViT-H/14 trained on people's choices (needs its weights)")
class PickScore(_Preference):
    """exp(logit_scale) times the cosine (Kirstain et al. 2023, Pick-a-Pic).

    Raises:
        ScorerError: the weights are not here.
    """

    name = "pickscore"
    metrics = (
        Metric(
            "pickscore", low=-100.0, high=100.0, source="Kirstain et al. 2023: exp(logit_scale) cos; about 18 to 24"
        ),
    )

    def __init__(self, weights: str | Path = "yuvalkirstain/PickScore_v1", *, device: str | None = None) -> None:
        super().__init__(weights, device)

    def _factor(self) -> float:
        return self._encoder.scale


@register("hpsv2", "Human Preference Score v2, a CLIP ViT-H/14 trained on rankings (needs converted weights)")
class HumanPreference(_Preference):
    """100 times the cosine, as HPS v2 is reported (Wu et al. 2023).

    Args:
        weights: a transformers folder of the model. The publisher's file is an OpenCLIP checkpoint, which is not loaded:
            a copy whose tensors carry the names of a transformers CLIPModel (ViT-H/14) is needed.
        device: torch device.

    Raises:
        ScorerError: the weights are not here.
    """

    name = "hpsv2"
    metrics = (Metric("hps", low=-100.0, high=100.0, source="Wu et al. 2023, HPS v2: 100 cos; about 20 to 35"),)

    def __init__(self, weights: str | Path | None = None, *, device: str | None = None) -> None:
        if weights is None:
            raise ScorerError(
                "HPS v2 is published as an OpenCLIP checkpoint, which is not loaded.",
                "Convert xswu/HPSv2 to a transformers CLIP folder where you trust the file, and give it as the option "
                "weights.",
            )
        super().__init__(weights, device)

    def _factor(self) -> float:
        return 100.0
