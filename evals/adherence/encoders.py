"""Models that embed pictures and texts into one space: CLIP, SigLIP and their descendants, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evals.adherence.weights import find_weights, load_image_processor, load_model, load_tokenizer, pick_device

Vectors = NDArray[np.float32]


class DualEncoder:
    """A two-tower model; loaded when first used.

    Args:
        source: a folder or the name of a model in the local cache of the hub.
        what: its name for messages.
        device: torch device; the best there is when empty.
        batch: pictures or texts at once.

    Raises:
        ScorerError: the weights are not here.
    """

    def __init__(self, source: str | Path, what: str, *, device: str | None = None, batch: int = 32) -> None:
        self._weights = find_weights(source, what)
        self._device, self._batch = device, batch
        self.version = self._weights.fingerprint

    @cached_property
    def _parts(self) -> tuple[Any, Any, Any]:
        import torch

        model = load_model(self._weights, "AutoModel", pick_device(self._device), dtype=torch.float32)
        return model, load_image_processor(self._weights), load_tokenizer(self._weights)

    @property
    def longest(self) -> int:
        """Most tokens of a text, with start and end."""
        return int(self._parts[0].config.text_config.max_position_embeddings)

    @property
    def scale(self) -> float:
        """exp(logit_scale): what a cosine is multiplied with to give a logit."""
        return float(self._parts[0].logit_scale.exp().item())

    @property
    def bias(self) -> float:
        """What is added to a logit; 0 for models without one (all but SigLIP)."""
        bias = getattr(self._parts[0], "logit_bias", None)
        return 0.0 if bias is None else float(bias.item())

    def pictures(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Unit vectors (n, d) of pictures."""
        model, processor, _ = self._parts

        def embed(part: Sequence[Image.Image]) -> Any:
            pixels = processor(images=[each.convert("RGB") for each in part], return_tensors="pt")["pixel_values"]
            return model.get_image_features(pixel_values=pixels.to(model.device))

        return self._unit(pictures, embed)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (n, d) of texts; longer ones are cut before their end mark, see `is_cut`."""
        model, _, tokenizer = self._parts

        def embed(part: Sequence[str]) -> Any:
            # SigLIP was trained on padded texts without a mask and gives other values without the padding.
            siglip = "siglip" in model.config.model_type
            tokens = tokenizer(
                list(part), padding="max_length" if siglip else "longest", truncation=True, max_length=self.longest,
                return_tensors="pt",
            ).to(model.device)  # fmt: skip
            mask = {} if siglip else {"attention_mask": tokens["attention_mask"]}
            return model.get_text_features(input_ids=tokens["input_ids"], **mask)

        return self._unit(texts, embed)

    def is_cut(self, text: str) -> bool:
        """Whether `text` has more tokens than the model reads."""
        return len(self._parts[2](text)["input_ids"]) > self.longest

    def _unit(self, items: Sequence[Any], embed: Any) -> Vectors:
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(items), self._batch):
                output = embed(items[start : start + self._batch])
                vectors = (output if isinstance(output, torch.Tensor) else output.pooler_output).float()
                found.append((vectors / vectors.norm(dim=-1, keepdim=True)).cpu())
        return np.asarray(torch.cat(found).numpy(), dtype=np.float32)
