"""GenEval's six skills over any detector: the scorers `adherence-scenes`, `geneval-mask2former` and their like.

A name carries its detector, because figures of different detectors are not comparable: GenEval's published figures
belong to Mask2Former and CLIP ViT-L/14.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.adherence.asks import Asked, AskError, read_ask
from evals.adherence.batch import failed, score_each
from evals.adherence.colours import GENEVAL_COLOURS, ClipColours, ColourNamer, PixelColours
from evals.adherence.detections import Detection, Detector
from evals.adherence.rules import Outcome, Rules, evaluate, keep
from evals.adherence.scene_detector import SceneDetector, background_of
from evals.scoring import Metric, Sample, Score, register

VERSION = "1"
SOURCE = "Ghosh et al. 2023, GenEval, https://github.com/djghosh13/geneval"

METRICS = (
    Metric("correct", source=SOURCE),
    Metric("objects", source="share of the clauses with enough objects"),
    Metric("count", source="every exact number is met"),
    Metric("colour", source="share of the coloured clauses with that colour"),
    Metric("position", source="share of the relations that hold"),
    Metric("background", source="the most frequent colour along the border has the name asked for"),
    Metric("all_right", source="`correct`, and the background where one is asked for"),
)


class ObjectScorer:
    """GenEval's rules over `detector`.

    Args:
        name: as it is registered.
        detector: finds objects.
        colours: names colours where the detector does not.
        rules: thresholds.
        batch: pictures that the detector sees at once.
    """

    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache
    metrics: tuple[Metric, ...] = METRICS

    def __init__(
        self, name: str, detector: Detector, *, colours: ColourNamer | None = None, rules: Rules | None = None,
        batch: int = 8,
    ) -> None:  # fmt: skip
        self.name = name
        self.rules = rules or Rules()
        self._detector, self._colours, self._batch = detector, colours or PixelColours(), batch
        self.version = f"{VERSION}-{self.rules}-{detector.name}-{detector.version}-{self._colours.version}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample; samples that ask for no objects have no value."""
        scores: dict[int, Score] = {}
        asks: dict[int, Asked] = {}
        for index, sample in enumerate(samples):
            try:
                asked = read_ask(sample.ask)
                if asked is not None:
                    self._check(asked)
                    asks[index] = asked
                else:
                    scores[index] = Score(values={metric.name: None for metric in self.metrics})
            except AskError as error:
                scores[index] = failed(error)
        wanted = {id(samples[index]): asked for index, asked in asks.items()}
        found = score_each(
            [samples[index] for index in asks], lambda part: self._score(part, wanted), batch=self._batch
        )
        scores |= dict(zip(asks, found, strict=True))
        return [scores[index] for index in range(len(samples))]

    def _check(self, asked: Asked) -> None:
        known = self._detector.classes
        strange = [label for label in asked.classes if known is not None and label not in known]
        if strange:
            assert known is not None
            raise AskError(
                f"The detector {self._detector.name} cannot find {', '.join(map(repr, strange))}.",
                f"It knows {len(known)} classes, for example {', '.join(sorted(known)[:8])}.",
            )

    def _score(self, samples: Sequence[Sample], wanted: dict[int, Asked]) -> list[Score]:
        asks = [wanted[id(sample)] for sample in samples]
        found = self._detector.detect([sample.picture for sample in samples], [asked.classes for asked in asks])
        return [self._judge(*each) for each in zip(samples, asks, found, strict=True)]

    def _judge(self, sample: Sample, asked: Asked, found: Sequence[Detection]) -> Score:
        kept = keep(found, self.rules, counting=asked.counting)

        def colours(objects: Sequence[Detection], label: str) -> list[str]:
            if all(each.colour for each in objects):
                return [each.colour for each in objects]
            return self._colours.name(sample.picture, objects, label)

        outcome = evaluate(kept, asked, self.rules, colours)
        background = background_of(sample.picture) if asked.background else ""
        ground = background == asked.background if asked.background else None
        why = list(outcome.why) + (
            [f"the background is {background}, not {asked.background}"] if ground is False else []
        )
        seen = {"objects": [each.to_dict() for each in found if each.score > 0.05], "why": why}
        return Score(values=_values(outcome, ground), seen=seen)


def _values(outcome: Outcome, ground: bool | None) -> dict[str, float | None]:
    return {
        "correct": float(outcome.correct),
        "objects": outcome.objects,
        "count": None if outcome.count is None else float(outcome.count),
        "colour": outcome.colour,
        "position": outcome.position,
        "background": None if ground is None else float(ground),
        "all_right": float(outcome.correct and ground is not False),
    }


@register("adherence-scenes", "objects, counts, colours and places of flat shapes, by classical vision; no weights")
class SceneAdherence(ObjectScorer):
    """GenEval's rules over the embedded model's scenes."""

    def __init__(self) -> None:
        super().__init__("adherence-scenes", SceneDetector(), batch=1)


@register("geneval-mask2former", "GenEval as published: Mask2Former and CLIP ViT-L/14 (needs both weights)")
class GenEvalMask2Former(ObjectScorer):
    """GenEval with its own detector and colour classifier, in the form of transformers.

    Args:
        weights: Mask2Former for COCO instances.
        clip: CLIP for the colours, or "pixels" to name them without weights.
        device: torch device.

    Raises:
        ScorerError: weights are not here.
    """

    def __init__(
        self,
        weights: str | Path = "facebook/mask2former-swin-small-coco-instance",
        *,
        clip: str | Path = "openai/clip-vit-large-patch14",
        device: str | None = None,
    ) -> None:
        from evals.adherence.transformers_detectors import Mask2Former

        super().__init__("geneval-mask2former", Mask2Former(weights, device=device), colours=_colours(clip, device))


@register("geneval-owlv2", "GenEval's rules over OWLv2, which finds any class; not comparable with published figures")
class GenEvalOwlv2(ObjectScorer):
    """GenEval's rules with OWLv2's customary threshold of 0.2 for all skills, and suppression at an overlap of 0.5.

    Args:
        weights: an OWLv2 model.
        clip: CLIP for the colours, or "pixels" to name them without weights.
        threshold: confidence that must be exceeded; calibrate it on pictures that you have counted yourself.
        device: torch device.

    Raises:
        ScorerError: weights are not here.
    """

    def __init__(
        self,
        weights: str | Path = "google/owlv2-base-patch16-ensemble",
        *,
        clip: str | Path = "pixels",
        threshold: float = 0.2,
        device: str | None = None,
    ) -> None:
        from evals.adherence.transformers_detectors import Owlv2

        rules = Rules(threshold=threshold, counting_threshold=threshold, overlap=0.5)
        super().__init__("geneval-owlv2", Owlv2(weights, device=device), colours=_colours(clip, device), rules=rules)


@register("geneval-grounding-dino", "GenEval's rules over Grounding DINO; not comparable with published figures")
class GenEvalGroundingDino(ObjectScorer):
    """GenEval's rules with Grounding DINO's customary threshold of 0.3 for all skills, suppression at an overlap of 0.5.

    Args:
        weights: a Grounding DINO model.
        clip: CLIP for the colours, or "pixels" to name them without weights.
        threshold: confidence that must be exceeded; calibrate it on pictures that you have counted yourself.
        device: torch device.

    Raises:
        ScorerError: weights are not here.
    """

    def __init__(
        self,
        weights: str | Path = "IDEA-Research/grounding-dino-base",
        *,
        clip: str | Path = "pixels",
        threshold: float = 0.3,
        device: str | None = None,
    ) -> None:
        from evals.adherence.transformers_detectors import GroundingDino

        rules = Rules(threshold=threshold, counting_threshold=threshold, overlap=0.5)
        detector = GroundingDino(weights, device=device)
        super().__init__("geneval-grounding-dino", detector, colours=_colours(clip, device), rules=rules)


def _colours(clip: str | Path, device: str | None) -> ColourNamer:
    """CLIP's colours as GenEval names them, or its ten names by the pixels."""
    if clip == "pixels":
        return PixelColours(GENEVAL_COLOURS)
    from evals.adherence.encoders import DualEncoder

    return ClipColours(DualEncoder(clip, "GenEval's colour classifier", device=device))
