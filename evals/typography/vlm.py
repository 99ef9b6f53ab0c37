"""A vision-language model as a reader, through transformers: strong on curved and decorated text, and given to mending.

It is asked to copy, not to correct; measured on misspelt words, such models still correct some. It says no places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from evals.typography.ocr import OcrError, Reading, Region

QUESTION = (
    "Copy all text in this picture exactly as it is spelled, one line for each piece of text. "
    "Keep misspellings, case and punctuation. If there is no text, answer: NO TEXT"
)
NONE = "no text"
MOST_TOKENS = 512


class VisionLanguageOcr:
    """Any image-text-to-text model that transformers loads, from a local folder.

    Args:
        folder: the model's folder with its processor; nothing is downloaded and no code from it is run.
        device: "cpu", "cuda", "mps".
        dtype: name of the weights' type, e.g. "bfloat16"; default: as saved.
        most_tokens: an answer is cut after so many tokens, which is an error of that picture.

    Raises:
        OcrError: the folder holds no such model, or it cannot be loaded.
    """

    name = "vlm"
    alphabet = None

    def __init__(
        self, folder: str | Path, *, device: str = "cpu", dtype: str = "auto", most_tokens: int = MOST_TOKENS
    ) -> None:
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise OcrError(
                f"There is no model in {str(folder)!r}.",
                "Download one first, e.g. `hf download Qwen/Qwen2.5-VL-7B-Instruct --local-dir FOLDER`.",
            )
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            self._processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
            self._model: Any = AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=dtype
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise OcrError(
                f"The model in {str(folder)!r} cannot be loaded: {error}.", "It needs safetensors and a processor."
            ) from None
        self._model.to(device).eval()
        self.most_tokens = most_tokens
        self.version = f"{folder.name}-{_digest(folder)}-{dtype}-{most_tokens}"

    def read(self, pictures: Sequence[Image.Image]) -> list[Reading]:
        """See `OCR.read`."""
        return [self._read(picture) for picture in pictures]

    def _read(self, picture: Image.Image) -> Reading:
        import torch

        talk = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
        try:
            text = self._processor.apply_chat_template(talk, add_generation_prompt=True)
            inputs = self._processor(text=text, images=picture.convert("RGB"), return_tensors="pt")
            inputs = inputs.to(self._model.device)
            with torch.inference_mode():
                tokens = self._model.generate(**inputs, do_sample=False, max_new_tokens=self.most_tokens)
            answer = tokens[0, inputs["input_ids"].shape[1] :]
        except Exception as error:  # noqa: BLE001  # whatever one picture breaks is that picture's error
            return Reading(error=f"{self.name} failed: {type(error).__name__}: {error}")
        if len(answer) >= self.most_tokens:
            return Reading(error=f"the answer was not finished after {self.most_tokens} tokens")
        return answered(self._processor.decode(answer, skip_special_tokens=True))


def answered(answer: str) -> Reading:
    """The reading in a model's answer: one region a line, none for "NO TEXT"."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if len(lines) == 1 and lines[0].strip(" .!").casefold() == NONE:
        return Reading()
    return Reading(tuple(Region(line) for line in lines))


def _digest(folder: Path) -> str:
    """Eight hexadecimal digits over names and sizes of the weights and over the configuration: cheap for gigabytes."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name} {path.stat().st_size}".encode())
    return digest.hexdigest()[:8]
