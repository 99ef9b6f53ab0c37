"""Scorers that ask a model about the picture: question graphs (DSG, DPG-Bench, TIFA, Soft-TIFA) and VQAScore."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.adherence.batch import score_each
from evals.adherence.graph import arithmetic_mean, geometric_mean, graph_score, read_questions
from evals.adherence.vqa import VQA, Query, ReplayVQA, TransformersVQA
from evals.scoring import Metric, Sample, Score, register

VERSION = "1"
JUDGE = "Qwen/Qwen3-VL-8B-Instruct"  # GenEval 2's
ONE_WORD = " Answer in one word."  # as GenEval 2 asks

VQASCORE = 'Does this figure show "{}"? Please answer yes or no.'
"""VQAScore's question (Lin et al. 2024)."""


@register(
    "questions", "prepared questions about the picture (DSG, DPG-Bench, TIFA, GenEval 2); needs a model or answers"
)
class QuestionScorer:
    """The questions of a row, each answered once, under the rules of four benchmarks.

    An answer is right when the right answer is likelier than every other.

    Args:
        weights: a vision-language model.
        answers: a JSON file of answers instead of a model; see `ReplayVQA`.
        device: torch device.

    Raises:
        ScorerError: the weights are not here.
        AskError: the file with answers cannot be read.
    """

    name = "questions"
    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache
    metrics: tuple[Metric, ...] = (
        Metric("dsg", source="Cho et al. 2024, DSG: wrong parents by their own answers, no chain"),
        Metric("dpg", source="Hu et al. 2024, DPG-Bench: wrong parents in the order of the file, in a chain"),
        Metric("tifa", source="Hu et al. 2023, TIFA: every question by itself"),
        Metric(
            "soft_tifa_gm", source="GenEval 2, arXiv 2512.16853: geometric mean of the right answers' probabilities"
        ),
        Metric("soft_tifa_am", source="GenEval 2, arXiv 2512.16853: arithmetic mean of the same"),
    )

    def __init__(
        self, weights: str | Path = JUDGE, *, answers: str | Path | None = None, device: str | None = None
    ) -> None:
        self._vqa: VQA = ReplayVQA(answers) if answers else TransformersVQA(weights, suffix=ONE_WORD, device=device)
        self.version = f"{VERSION}-{self._vqa.name}-{self._vqa.version}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample; a sample without questions has no value."""
        return score_each(samples, lambda part: [self._one(sample) for sample in part])

    def _one(self, sample: Sample) -> Score:
        questions = read_questions(sample.ask)
        if not questions:
            return Score(values={metric.name: None for metric in self.metrics})
        found = self._vqa.probabilities(
            [Query(sample.picture, sample.picture_digest, each.question, each.answers) for each in questions]
        )
        chances = [values[0] for values in found]
        right = {
            each.id: float(values[0] > max(values[1:], default=0.5))
            for each, values in zip(questions, found, strict=True)
        }
        return Score(
            values={
                "dsg": graph_score(right, questions, "raw"),
                "dpg": graph_score(right, questions, "cascade"),
                "tifa": graph_score(right, questions, "off"),
                "soft_tifa_gm": geometric_mean(chances),
                "soft_tifa_am": arithmetic_mean(chances),
            },
            seen={
                "questions": [
                    {"question": each.question, "right": each.answer, "probability": round(chance, 4)}
                    | ({"skill": each.skill} if each.skill else {})
                    for each, chance in zip(questions, chances, strict=True)
                ]
            },
        )


@register("vqascore", "probability of yes to: does this figure show the prompt? needs a vision-language model")
class VQAScore:
    """P("yes") to one question about the whole prompt.

    The paper's judge is CLIP-FlanT5-XXL, which transformers does not have; figures of other judges are not comparable with
    it, only among themselves.

    Args:
        weights: a vision-language model.
        answers: a JSON file of answers instead of a model; see `ReplayVQA`.
        template: the question; {} is the prompt.
        device: torch device.

    Raises:
        ScorerError: the weights are not here.
        AskError: the file with answers cannot be read.
    """

    name = "vqascore"
    reads = ()  # picture, prompt and ask alone: more seeds leave its scores in the cache
    metrics: tuple[Metric, ...] = (Metric("vqascore", source="Lin et al. 2024, VQAScore: P(yes)"),)

    def __init__(
        self,
        weights: str | Path = JUDGE,
        *,
        answers: str | Path | None = None,
        template: str = VQASCORE,
        device: str | None = None,
    ) -> None:
        self._vqa: VQA = ReplayVQA(answers) if answers else TransformersVQA(weights, device=device)
        self._template = template
        self.version = f"{VERSION}-{self._vqa.name}-{self._vqa.version}-{template}"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample."""
        return score_each(samples, self._score)

    def _score(self, samples: Sequence[Sample]) -> list[Score]:
        queries = [
            Query(each.picture, each.picture_digest, self._template.replace("{}", each.prompt), ("yes",))
            for each in samples
        ]
        return [Score({"vqascore": values[0]}) for values in self._vqa.probabilities(queries)]
