"""Detectors for real pictures through transformers: Mask2Former, OWLv2 and Grounding DINO.

Pictures go through the image processors that work on Pillow, so torchvision is not needed. What a model's output means is
read here rather than by the processors' own functions, which drop weak detections that the rules have to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evals.adherence.detections import Box, Detection
from evals.adherence.weights import find_weights, load_image_processor, load_model, load_tokenizer, pick_device

LEAST = 0.05  # confidence below which nothing is returned; every rule's threshold is higher

COCO_NAMES = {"mouse": "computer mouse", "keyboard": "computer keyboard", "remote": "tv remote"}
"""GenEval's names of COCO's classes where they differ."""


class _Loaded:
    """A detector whose model is loaded when first used."""

    name: str
    kind: str  # the class of transformers

    def __init__(self, weights: str | Path, *, device: str | None = None) -> None:
        self._weights = find_weights(weights, self.name)
        self._device = device
        self.version = f"1-{self._weights.fingerprint}"

    @cached_property
    def _model(self) -> Any:
        import torch

        return load_model(self._weights, self.kind, pick_device(self._device), dtype=torch.float32)

    @cached_property
    def _processor(self) -> Any:
        return load_image_processor(self._weights)

    def detect(self, pictures: Sequence[Image.Image], classes: Sequence[Sequence[str]]) -> list[tuple[Detection, ...]]:
        """See `Detector.detect`; one picture at a time, since each asks for classes of its own."""
        import torch

        with torch.inference_mode():
            return [
                self._look(picture.convert("RGB"), list(wanted))
                for picture, wanted in zip(pictures, classes, strict=True)
            ]

    def _look(self, picture: Image.Image, wanted: list[str]) -> tuple[Detection, ...]:
        raise NotImplementedError

    def _inputs(self, picture: Image.Image) -> dict[str, Any]:
        found = self._processor(images=picture, return_tensors="pt")
        return {name: value.to(self._model.device) for name, value in found.items()}


class Mask2Former(_Loaded):
    """Instance masks of a fixed list of classes: GenEval's detector (Swin-S, COCO) in the form of transformers.

    As in the reference's detector a score is the class's probability times the mean probability inside the mask, and a
    box is the frame of the mask.

    Raises:
        ScorerError: the weights are not here.
    """

    name = "mask2former"
    kind = "Mask2FormerForUniversalSegmentation"

    def __init__(
        self, weights: str | Path = "facebook/mask2former-swin-small-coco-instance", *, device: str | None = None
    ) -> None:
        super().__init__(weights, device=device)

    @cached_property
    def _labels(self) -> dict[int, str]:
        from transformers import AutoConfig

        names = AutoConfig.from_pretrained(self._weights.folder, local_files_only=True).id2label
        return {int(index): COCO_NAMES.get(name, name) for index, name in names.items()}

    @property
    def classes(self) -> frozenset[str] | None:
        """The classes that the model was trained on."""
        return frozenset(self._labels.values())

    def _look(self, picture: Image.Image, wanted: list[str]) -> tuple[Detection, ...]:
        from torch.nn.functional import interpolate

        inputs = self._inputs(picture)
        output = self._model(**inputs)
        chances = output.class_queries_logits[0].softmax(dim=-1)[:, :-1]  # (queries, classes), without "nothing"
        count = chances.shape[-1]
        best = chances.flatten().topk(len(chances))
        # Masks leave the padding, then take the size of the picture; (queries, height, width)
        logits = interpolate(
            output.masks_queries_logits, inputs["pixel_values"].shape[-2:], mode="bilinear", align_corners=False
        )
        if "pixel_mask" in inputs:
            inside = inputs["pixel_mask"][0].bool()
            logits = logits[..., : int(inside.any(dim=1).sum()), : int(inside.any(dim=0).sum())]
        logits = interpolate(logits, (picture.height, picture.width), mode="bilinear", align_corners=False)[0]
        found = []
        for chance, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            label = self._labels[place % count]
            if label not in wanted or chance < LEAST:
                continue
            values = logits[place // count]
            mask = values > 0
            if not mask.any():
                continue
            score = chance * float(values.sigmoid()[mask].mean())
            pixels = mask.cpu().numpy()
            found.append(Detection(label, _frame(pixels), score, pixels))
        return tuple(each for each in found if each.score >= LEAST)


class Owlv2(_Loaded):
    """Boxes for any words: OWLv2, asked "a photo of a CLASS".

    Every place of the picture votes for one class, the likeliest of those asked for. Boxes overlap, so the rules that read
    them need suppression.

    Raises:
        ScorerError: the weights are not here.
    """

    name = "owlv2"
    kind = "Owlv2ForObjectDetection"
    classes: frozenset[str] | None = None

    def __init__(
        self, weights: str | Path = "google/owlv2-base-patch16-ensemble", *, device: str | None = None
    ) -> None:
        super().__init__(weights, device=device)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._weights)

    def _look(self, picture: Image.Image, wanted: list[str]) -> tuple[Detection, ...]:
        tokens = self._tokenizer(
            [f"a photo of a {label}" for label in wanted],
            padding="max_length", truncation=True, return_tensors="pt",
            max_length=self._model.config.text_config.max_position_embeddings,
        ).to(self._model.device)  # fmt: skip
        output = self._model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], **self._inputs(picture)
        )
        best = output.logits[0].sigmoid().max(dim=-1)  # over classes; (places,)
        side = max(picture.size)  # the processor pads to a square, below and to the right
        boxes = output.pred_boxes[0].cpu().numpy() * side
        return _boxes(boxes, best.values.tolist(), [wanted[index] for index in best.indices.tolist()], picture)


class GroundingDino(_Loaded):
    """Boxes for any words: Grounding DINO, asked for its classes in one sentence.

    A class's score is that of its likeliest token; a box gets the class with the highest.

    Raises:
        ScorerError: the weights are not here.
    """

    name = "grounding-dino"
    kind = "GroundingDinoForObjectDetection"
    classes: frozenset[str] | None = None

    def __init__(self, weights: str | Path = "IDEA-Research/grounding-dino-base", *, device: str | None = None) -> None:
        super().__init__(weights, device=device)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._weights)

    def _look(self, picture: Image.Image, wanted: list[str]) -> tuple[Detection, ...]:
        text, spans = "", []
        for label in wanted:
            spans.append((len(text), len(text) + len(label)))
            text += f"{label.lower()}. "
        tokens = self._tokenizer(text.strip(), return_offsets_mapping=True, return_tensors="pt")
        offsets = tokens.pop("offset_mapping")[0].tolist()
        longest = self._model.config.max_text_len
        if len(offsets) > longest:
            raise ValueError(f"{len(wanted)} classes make {len(offsets)} tokens; Grounding DINO reads {longest}")
        output = self._model(**tokens.to(self._model.device), **self._inputs(picture))
        chances = output.logits[0].sigmoid()  # (queries, tokens)
        columns = []
        for begin, end in spans:
            own = [place for place, (start, stop) in enumerate(offsets) if start >= begin and start < stop <= end]
            columns.append(chances[:, own].max(dim=-1).values)
        scores = np.stack([column.cpu().numpy() for column in columns], axis=-1)  # (queries, classes)
        width, height = picture.size
        boxes = output.pred_boxes[0].cpu().numpy() * np.array([width, height, width, height], dtype=np.float32)
        return _boxes(boxes, scores.max(axis=-1).tolist(), [wanted[i] for i in scores.argmax(axis=-1)], picture)


def _boxes(
    boxes: np.ndarray, scores: Sequence[float], labels: Sequence[str], picture: Image.Image
) -> tuple[Detection, ...]:
    """Detections from boxes (n, 4) given as centre and size in pixels, cut at the border of the picture."""
    width, height = picture.size
    found = []
    for (x, y, w, h), score, label in zip(boxes.tolist(), scores, labels, strict=True):
        box = (max(x - w / 2, 0.0), max(y - h / 2, 0.0), min(x + w / 2, float(width)), min(y + h / 2, float(height)))
        if score >= LEAST and box[0] < box[2] and box[1] < box[3]:
            found.append(Detection(label, box, score))
    return tuple(found)


def _frame(mask: np.ndarray) -> Box:
    """The box around a mask (height, width): first and one past the last pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
