"""Models that answer questions about pictures, and answers given elsewhere, behind one protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from evals.adherence.asks import AskError
from evals.adherence.weights import find_weights, load_image_processor, load_model, load_tokenizer, pick_device

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
MOST_BYTES = 256 * 2**20  # of a file with answers


@dataclass(frozen=True, slots=True)
class Query:
    """One question about one picture, with the answers whose probabilities are wanted."""

    picture: Image.Image
    digest: str  # `evals.scoring.picture_digest` of it
    question: str
    answers: tuple[str, ...]


class VQA(Protocol):
    """Answers questions."""

    @property
    def name(self) -> str:
        """Part of the scorer's version."""
        ...

    @property
    def version(self) -> str:
        """Changes with the weights, the precision and the way of asking."""
        ...

    def probabilities(self, queries: Sequence[Query]) -> list[tuple[float, ...]]:
        """For each query the probability of each of its answers, 0 to 1; they need not add up to 1."""
        ...


class ReplayVQA:
    """Answers from a JSON file: other people's dumps, a model on another machine, a person.

    The file holds {"name": ..., "answers": {picture digest: {question: answer}}}. An answer is a text (that one is
    certain), a number (the probability of the first answer asked for), or {text: probability}.

    Args:
        path: the file.

    Raises:
        AskError: it cannot be read as that.
    """

    def __init__(self, path: str | Path) -> None:
        import hashlib

        path = Path(path)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES // 2**20} MiB")
            content = path.read_bytes()
            found = json.loads(content)
            self._answers: dict[str, dict[str, Any]] = found["answers"]
            self.name = f"replay-{found.get('name', path.stem)}"
            if not all(isinstance(each, dict) for each in self._answers.values()):
                raise TypeError("answers are not grouped by picture")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AskError(
                f"The file {str(path)!r} holds no answers: {type(error).__name__}: {error}.",
                'Write {"name": "...", "answers": {"<picture digest>": {"Is there a dog?": "yes"}}}.',
            ) from None
        self.version = hashlib.sha256(content).hexdigest()[:12]

    def probabilities(self, queries: Sequence[Query]) -> list[tuple[float, ...]]:
        """See `VQA.probabilities`.

        Raises:
            AskError: a question was not answered, or not with one of its answers.
        """
        return [self._one(query) for query in queries]

    def _one(self, query: Query) -> tuple[float, ...]:
        given = self._answers.get(query.digest, {}).get(query.question)
        match given:
            case None:
                raise AskError(f"The file has no answer to {query.question!r} for the picture {query.digest[:12]}.")
            case str():
                return tuple(float(_same(given, answer)) for answer in query.answers)
            case bool():
                return tuple(float(_same("yes" if given else "no", answer)) for answer in query.answers)
            case int() | float() if 0 <= given <= 1:
                return (float(given), *[1 - float(given)] * (len(query.answers) == 2))[: len(query.answers)]
            case dict():
                return tuple(
                    sum((float(chance) for text, chance in given.items() if _same(text, answer)), 0.0)
                    for answer in query.answers
                )
        raise AskError(f"The answer {given!r} to {query.question!r} is no text, probability or table.")


def _same(given: str, answer: str) -> bool:
    return given.strip().rstrip(".").casefold() == answer.casefold()


def spellings(answer: str) -> tuple[str, ...]:
    """The ways a model may begin an answer: with and without a capital, a blank before it, or as a figure."""
    words = [answer, answer.capitalize(), answer.lower()]
    if answer.lower() in NUMBERS:
        words.append(str(NUMBERS.index(answer.lower())))
    return tuple(dict.fromkeys(blank + word for word in words for blank in ("", " ")))


class TransformersVQA:
    """Any vision-language model with a chat template; an answer's probability is that of its first token.

    The question is asked once, without drawing: the probabilities are those of the next token over the whole vocabulary,
    summed over the spellings of an answer, each token once. One question runs at a time, so that no padding changes a
    value.

    Args:
        source: a folder or the name of a model in the local cache of the hub.
        suffix: added to every question.
        device: torch device.

    Raises:
        ScorerError: the weights are not here.
    """

    def __init__(self, source: str | Path, *, suffix: str = "", device: str | None = None) -> None:
        self._weights = find_weights(source, "The question answerer")
        self._suffix, self._device = suffix, pick_device(device)
        self._precision = "float32" if self._device == "cpu" else "bfloat16"
        self.name = "vlm"
        self.version = f"1-{self._weights.fingerprint}-{self._precision}" + (f"-{suffix.strip()}" if suffix else "")

    @cached_property
    def _model(self) -> Any:
        import torch

        precision = getattr(torch, self._precision)
        return load_model(self._weights, "AutoModelForImageTextToText", self._device, dtype=precision)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._weights)

    @cached_property
    def _processor(self) -> Any:
        """The model's processor; None where it wants torchvision for video, which is not needed here."""
        from transformers import AutoProcessor

        try:
            return AutoProcessor.from_pretrained(self._weights.folder, local_files_only=True)
        except ImportError:
            return None

    @cached_property
    def _pictures(self) -> Any:
        return load_image_processor(self._weights)

    def probabilities(self, queries: Sequence[Query]) -> list[tuple[float, ...]]:
        """See `VQA.probabilities`.

        Raises:
            AskError: two answers of a question begin alike.
        """
        import torch

        found = []
        with torch.inference_mode():
            for query in queries:
                tokens = self._first_tokens(query.answers)
                inputs = self._inputs(query.picture.convert("RGB"), query.question + self._suffix)
                logits = self._model(**inputs).logits[0, -1].float()  # (vocabulary,)
                chances = logits.softmax(dim=-1)
                found.append(tuple(float(chances[sorted(own)].sum()) for own in tokens))
        return found

    def _first_tokens(self, answers: Sequence[str]) -> list[set[int]]:
        found = [
            {self._tokenizer.encode(text, add_special_tokens=False)[0] for text in spellings(answer)}
            for answer in answers
        ]
        # A bare blank may be a token of its own that begins every answer: it tells nothing.
        shared = set.intersection(*found) if len(found) > 1 else set()
        found = [own - shared for own in found]
        if not all(found) or sum(map(len, found)) > len(set().union(*found)):
            raise AskError(f"The answers {', '.join(map(repr, answers))} begin with the same token.")
        return found

    def _inputs(self, picture: Image.Image, question: str) -> dict[str, Any]:
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        if self._processor is not None:
            text = self._processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
            inputs = self._processor(text=[text], images=[picture], return_tensors="pt")
        else:
            text = self._tokenizer.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
            inputs = self._without_video(picture, text)
        return {
            name: value.to(self._device, self._model.dtype) if value.is_floating_point() else value.to(self._device)
            for name, value in inputs.items()
        }

    def _without_video(self, picture: Image.Image, text: str) -> dict[str, Any]:
        """What the processors of the Qwen-VL family make of one picture: a mark for every merged patch of it."""
        config = self._model.config
        pixels = self._pictures(images=[picture], return_tensors="pt")
        mark = self._tokenizer.convert_ids_to_tokens(config.image_token_id)
        if "image_grid_thw" not in pixels or text.count(mark) != 1:
            raise ValueError(f"{config.model_type} needs its own processor, and that needs torchvision")
        patches = int(pixels["image_grid_thw"][0].prod()) // self._pictures.merge_size**2
        tokens = self._tokenizer(text.replace(mark, mark * patches), return_tensors="pt", add_special_tokens=False)
        kinds = (tokens["input_ids"] == config.image_token_id).int()  # 1 for a picture's tokens, 0 for text
        return {**pixels, **tokens, "mm_token_type_ids": kinds}
