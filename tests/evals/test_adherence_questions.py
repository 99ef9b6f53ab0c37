from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evals.adherence.asks import AskError
from evals.adherence.graph import arithmetic_mean, geometric_mean, graph_score, read_questions
from evals.adherence.questions import QuestionScorer, VQAScore
from evals.adherence.vqa import Query, ReplayVQA, TransformersVQA, spellings
from evals.scoring import Sample, ScorerError, picture_digest
from tests.evals.tiny_vision import write_qwen_vl

CHAIN: dict[str, Any] = {
    "questions": [
        {"id": 1, "question": "Is there a dog?"},
        {"id": 2, "question": "Is the dog brown?", "depends_on": [1]},
        {"id": 3, "question": "Is the brown spot round?", "depends_on": [2]},
        {"id": 4, "question": "Is there grass?"},
    ]
}


@pytest.mark.parametrize(
    ("answers", "raw", "cascade", "off"),
    [
        ((1, 1, 1, 1), 1, 1, 1),
        ((0, 1, 1, 1), 0.5, 0.25, 0.75),  # raw: 2 falls with 1, 3 asks for 2's own answer, which was yes
        ((1, 0, 1, 1), 0.5, 0.5, 0.75),
        ((1, 1, 0, 0), 0.5, 0.5, 0.5),
        ((0, 0, 0, 0), 0, 0, 0),
    ],
)
def test_wrong_parents_bring_their_children_down(
    answers: tuple[int, ...], raw: float, cascade: float, off: float
) -> None:
    questions = read_questions(CHAIN)
    right = {each.id: float(value) for each, value in zip(questions, answers, strict=True)}
    assert graph_score(right, questions, "raw") == raw
    assert graph_score(right, questions, "cascade") == cascade
    assert graph_score(right, questions, "off") == off


def test_a_cascade_follows_the_order_of_the_file() -> None:
    # The child stands before its parent, so in DPG-Bench it is judged before the parent falls.
    questions = read_questions(
        {
            "questions": [
                {"id": "c", "question": "?", "depends_on": ["b"]},
                {"id": "b", "question": "?", "depends_on": ["a"]},
                {"id": "a", "question": "?"},
            ]
        }
    )
    assert graph_score({"a": 0, "b": 1, "c": 1}, questions, "cascade") == pytest.approx(1 / 3)


def test_soft_tifa() -> None:
    assert arithmetic_mean([1.0, 0.25]) == 0.625
    assert geometric_mean([1.0, 0.25]) == pytest.approx(0.5)
    assert geometric_mean([1.0, 0.0]) == 0


@pytest.mark.parametrize(
    ("questions", "match"),
    [
        ([{"question": "?"}], "cannot be read"),
        ([{"id": "1", "question": "?"}, {"id": "1", "question": "??"}], "same id"),
        ([{"id": "1", "question": "?", "depends_on": ["7"]}], "depends on '7'"),
        (
            [{"id": "1", "question": "?", "depends_on": ["2"]}, {"id": "2", "question": "?", "depends_on": ["1"]}],
            "circle",
        ),
    ],
)
def test_malformed_questions_are_refused(questions: list[dict[str, Any]], match: str) -> None:
    with pytest.raises(AskError, match=match):
        read_questions({"questions": questions})


def replay(tmp_path: Path, answers: dict[str, Any]) -> Path:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"name": "me", "answers": answers}), encoding="utf-8")
    return path


def sample(ask: dict[str, Any], prompt: str = "a dog") -> Sample:
    picture = Image.new("RGB", (20, 20), "red")
    return Sample(picture, prompt, picture_digest(picture), ask)


def test_replayed_answers(tmp_path: Path) -> None:
    given = sample(CHAIN)
    told = {
        "Is there a dog?": "No.",
        "Is the dog brown?": True,
        "Is the brown spot round?": 0.75,
        "Is there grass?": {"Yes": 0.5, "no": 0.25},
    }
    scorer = QuestionScorer(answers=replay(tmp_path, {given.picture_digest: told}))
    score = scorer.score([given])[0]
    assert score.values["dsg"] == 0.5
    assert score.values["dpg"] == 0.25
    assert score.values["tifa"] == 0.75
    assert score.values["soft_tifa_am"] == pytest.approx((0 + 1 + 0.75 + 0.5) / 4)
    assert score.values["soft_tifa_gm"] == 0
    assert score.seen["questions"][3] == {"question": "Is there grass?", "right": "yes", "probability": 0.5}
    assert "replay-me" in scorer.version


def test_an_answer_that_is_missing_is_an_error_of_its_sample(tmp_path: Path) -> None:
    given, other = sample(CHAIN), sample({"questions": [{"id": 1, "question": "Is there a cat?"}]})
    told = {each["question"]: "yes" for each in CHAIN["questions"]}
    scores = QuestionScorer(answers=replay(tmp_path, {given.picture_digest: told})).score([other, given, sample({})])
    assert "no answer to 'Is there a cat?'" in scores[0].error
    assert scores[1].values["dsg"] == 1
    assert set(scores[2].values.values()) == {None}


def test_questions_with_other_right_answers(tmp_path: Path) -> None:
    given = sample(
        {
            "questions": [
                {"id": 1, "question": "How many dogs?", "answer": "three"},
                {"id": 2, "question": "Which animal?", "answer": "dog", "choices": ["cat", "dog", "bird"]},
                {"id": 3, "question": "Is it raining?", "answer": "no"},
            ]
        }
    )
    told = {"How many dogs?": "two", "Which animal?": "dog", "Is it raining?": "no"}
    score = QuestionScorer(answers=replay(tmp_path, {given.picture_digest: told})).score([given])[0]
    assert score.values["tifa"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("content", ["", "[]", '{"answers": 3}', '{"answers": {"a": 1}}'])
def test_a_file_without_answers_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(AskError, match="holds no answers"):
        ReplayVQA(path)
    with pytest.raises(AskError, match="holds no answers"):
        ReplayVQA(tmp_path / "absent.json")


def test_spellings_of_answers() -> None:
    assert set(spellings("yes")) == {"yes", " yes", "Yes", " Yes"}
    assert set(spellings("three")) == {"three", " three", "Three", " Three", "3", " 3"}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_qwen_vl(tmp_path_factory.mktemp("qwen"))


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (50, 90, 3), dtype=np.uint8))


def test_a_model_gives_the_probability_of_its_next_token(qwen: Path) -> None:
    vqa = TransformersVQA(qwen, device="cpu")
    query = Query(picture(0), "", "Is there a dog?", ("yes", "no"))
    ((yes, no),) = vqa.probabilities([query])
    tokenizer, model = vqa._tokenizer, vqa._model
    inputs = vqa._inputs(query.picture, query.question)
    # Every merged patch of the picture has its mark, or the model refuses.
    patches = int(inputs["image_grid_thw"].prod()) // 4
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == patches > 1
    with torch.no_grad():
        chances = model(**inputs).logits[0, -1].softmax(-1)
    vocabulary = tokenizer.get_vocab()
    assert yes == pytest.approx(sum(chances[vocabulary[word]].item() for word in ("yes", "Yes")), rel=1e-4)
    assert no == pytest.approx(sum(chances[vocabulary[word]].item() for word in ("no", "No")), rel=1e-4)
    assert 0 < yes < 1


def test_answers_depend_on_picture_and_question(qwen: Path) -> None:
    vqa = TransformersVQA(qwen, device="cpu")
    asked = [(0, "Is there a dog?"), (1, "Is there a dog?"), (0, "Is there a cat?"), (0, "Is there a dog?")]
    found = vqa.probabilities([Query(picture(seed), "", question, ("yes", "no")) for seed, question in asked])
    assert found[0] == found[3]  # the same alone and in any order
    assert len({found[0], found[1], found[2]}) == 3


def test_answers_that_begin_alike_are_refused(qwen: Path) -> None:
    with pytest.raises(AskError, match="same token"):
        TransformersVQA(qwen, device="cpu").probabilities([Query(picture(0), "", "Which?", ("abc", "abd"))])


def test_scorers_over_a_model(qwen: Path) -> None:
    given = [sample(CHAIN), sample({})]
    scores = QuestionScorer(qwen, device="cpu").score(given)
    assert scores[0].error == ""
    assert 0 < (scores[0].values["soft_tifa_am"] or 0) < 1
    scorer = VQAScore(qwen, device="cpu")
    first, second = scorer.score([given[0], sample({}, prompt="a castle at night")])
    assert 0 < (first.values["vqascore"] or 0) < 1
    assert first.values != second.values
    assert VQAScore(qwen, device="cpu", template="{}?").version != scorer.version


@pytest.mark.parametrize("make", [QuestionScorer, VQAScore])
def test_without_a_model_the_message_says_how_to_get_one(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ScorerError, match="hf download Qwen"):
        make()
