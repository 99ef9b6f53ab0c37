"""A vision-language model as a reader, through transformers: strong on curved and decorated text, and given to mending.

It is asked to copy, not to correct; measured on misspelt words, such models still correct some. It says no places.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from evals.adherence.vqa import TransformersVQA
from evals.scoring import ScorerError
from evals.typography.ocr import OcrError, Reading, Region

QUESTION = (
    "Copy all text in this picture exactly as it is spelled, one line for each piece of text. "
    "Keep misspellings, case and punctuation. If there is no text, answer: NO TEXT"
)
NONE = "no text"
MOST_TOKENS = 512


class VisionLanguageOcr(TransformersVQA):
    """Any image-text-to-text model that transformers loads; it gets pictures as the question answerer gives them.

    Args:
        source: a folder, or the name of a model in the local cache of the hub; nothing is downloaded.
        device: torch device; default: the best there is.
        most_tokens: an answer is cut after so many tokens, which is an error of that picture.

    Raises:
        OcrError: the weights are not here, or cannot be loaded.
    """

    alphabet = None

    def __init__(self, source: str | Path, *, device: str | None = None, most_tokens: int = MOST_TOKENS) -> None:
        try:
            super().__init__(source, device=device)
            self._model, self._tokenizer  # noqa: B018  # load now: a missing file is one error, not one a picture
        except ScorerError as error:
            raise OcrError(error.message, error.remedy) from None
        self.most_tokens = most_tokens
        self.version = f"{self.version}-{most_tokens}"

    def read(self, pictures: Sequence[Image.Image]) -> list[Reading]:
        """See `OCR.read`."""
        return [self._read(picture) for picture in pictures]

    def _read(self, picture: Image.Image) -> Reading:
        import torch

        try:
            inputs = self._inputs(picture.convert("RGB"), QUESTION)
            with torch.inference_mode():
                tokens = self._model.generate(**inputs, do_sample=False, max_new_tokens=self.most_tokens)
            answer = tokens[0, inputs["input_ids"].shape[1] :]
        except Exception as error:  # noqa: BLE001  # whatever one picture breaks is that picture's error
            return Reading(error=f"{self.name} failed: {type(error).__name__}: {error}")
        if len(answer) >= self.most_tokens:
            return Reading(error=f"the answer was not finished after {self.most_tokens} tokens")
        return answered(self._tokenizer.decode(answer, skip_special_tokens=True))


def answered(answer: str) -> Reading:
    """The reading in a model's answer: one region a line, none for "NO TEXT"."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if len(lines) == 1 and lines[0].strip(" .!").casefold() == NONE:
        return Reading()
    return Reading(tuple(Region(line) for line in lines))
