"""FLUX.3 [klein]: a Qwen3-VL trunk read at eight depths, blocks per kind of token before joint ones, and jumps.

Equal to the modular pipelines of diffusers (`Flux3AutoBlocks`, `Flux3DistilledAutoBlocks`) with the prompt as it is
given, that is without their prompt upsampler. The distilled model is a flow map: each step tells it where it leads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.engine.canvas import cover
from workbench.engine.kinds.base import Call, Conditions, Layout, Pictures, Text, Tokens
from workbench.engine.kinds.flux2 import Flux2Pictures
from workbench.engine.kinds.pictures import fitted_reference, image_of, mask_of
from workbench.engine.latents import picture_ids, text_ids
from workbench.engine.plan import Job
from workbench.engine.regions import attention_mask
from workbench.models.canvas_sizes import inside, on_canvas
from workbench.models.loading import Components
from workbench.recipe.conditions import Reference

PAD_MULTIPLE = 80  # tokens; a prompt's window is its length rounded up, as the transformer reads the padding too
ROPE_SCALE = 0.5  # of rows and columns; what the model was trained with


class Flux3(Flux2Pictures):
    """See the module."""

    def tokenize(self, parts: Components, prompt: str, length: int) -> Tokens:
        """The prompt in the chat template, padded to the next multiple of 80 tokens, `length` at most."""
        tokenizer = parts.tokenizer
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        whole = len(tokenizer(text, verbose=False)["input_ids"])
        window = min(math.ceil(min(whole, length) / PAD_MULTIPLE) * PAD_MULTIPLE, length)
        read = tokenizer(
            text,
            return_tensors="pt",
            padding="max_length",
            padding_side="right",
            truncation=True,
            max_length=window,
        )
        return Tokens(read["input_ids"], read["attention_mask"], whole)

    @torch.no_grad()
    def encode(self, parts: Components, tokens: Tokens) -> Text:
        """Eight hidden states side by side: bit-equal to `Flux3TextEncoderStep._get_qwen3_vl_prompt_embeds`.

        Padding has position 1, as where the model was trained; transformers 5 would give it position 0.
        """
        device = parts.text_device
        mask = tokens.mask.to(device)
        places = torch.arange(mask.shape[1], device=device)[None].masked_fill(mask == 0, 1)
        states = parts.text_encoder(
            input_ids=tokens.ids.to(device),
            attention_mask=mask,
            position_ids=places,
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        layers = torch.stack([states[layer] for layer in parts.model.family.text_layers], dim=2)  # (1, L, layers, D)
        return Text(layers.flatten(2).to(parts.device))

    def look(self, parts: Components, job: Job, pictures: Pictures) -> Conditions:
        """A single reference is kept whole on its canvas, several are cropped; image and mask as in FLUX.2."""
        given = job.recipe.references
        if len(given) == 1:
            references = [self._whole(parts, given[0], pictures)]
        else:
            references = [fitted_reference(parts, reference, pictures, self.encode_picture) for reference in given]
        return Conditions(
            references=torch.cat(references, dim=1) if references else None,
            image=image_of(parts, job, pictures, self.encode_picture),
            mask=mask_of(parts, job, pictures),
        )

    def mu(self, config: dict[str, Any], tokens: int, steps: int) -> float:
        """Unused: the shift is the same for all sizes."""
        return 0.0

    def velocity(self, parts: Components, call: Call) -> Tensor:
        """One pass; where the step leads is told to a flow map only."""
        latents, device = call.latents, parts.device
        config: Any = parts.transformer.config
        with _apart(parts.transformer, call):
            out: Tensor = parts.transformer(
                hidden_states=latents,
                encoder_hidden_states=call.text.embeds,
                timestep=(call.time / 1000).to(latents.dtype),
                target_timestep=(call.next_time / 1000).to(latents.dtype) if config.flow_map else None,
                img_ids=_picture_ids(call.layout, device),
                txt_ids=_text_ids(call.text.lengths, device),
                image_cond_hidden_states=call.references,
                image_cond_ids=None if call.references is None else _reference_ids(call.layout, device),
                return_dict=False,
            )[0]
        return out

    def _whole(self, parts: Components, reference: Reference, pictures: Pictures) -> Tensor:
        family = parts.model.family

        def read() -> Image.Image:
            picture = pictures.inputs.open(reference.picture)
            if (
                on_canvas(*picture.size, family.canvas_pixels, family.max_side, family.size_multiple)
                != reference.pixels
            ):
                return cover(picture, *reference.pixels)
            small = inside(*picture.size, family.canvas_pixels, family.max_side, family.size_multiple)
            if small != picture.size:
                picture = picture.resize(small, Image.Resampling.LANCZOS)
            return reflected(picture, *reference.pixels, family.size_multiple)

        return pictures.get(parts, (reference.picture, reference.size, "whole"), read, self.encode_picture)


@contextmanager
def _apart(transformer: Any, call: Call) -> Iterator[None]:
    """The texts of regions kept apart in the blocks of text and in the joint ones, which take no mask by themselves."""
    seen_by, spans = call.text.seen_by, call.text.lengths
    if seen_by is None:
        yield
        return
    allowed = attention_mask(seen_by, spans, call.layout)
    length = sum(spans)
    masks = {
        transformer.txt_mode_blocks: allowed[:, :, :length, :length],
        transformer.single_transformer_blocks: allowed,
    }

    def give(mask: Tensor) -> Callable[..., Any]:
        return lambda _module, given, named: (given, named | {"attention_mask": mask})

    hooks = [
        block.attn.register_forward_pre_hook(give(mask), with_kwargs=True)
        for blocks, mask in masks.items()
        for block in blocks
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def reflected(picture: Image.Image, width: int, height: int, multiple: int) -> Image.Image:
    """The picture in the middle of a canvas, the rest its reflection, as `Flux3ImageProcessor` fills it."""
    left, top = (width - picture.width) // 2, (height - picture.height) // 2
    margins = ((top, height - picture.height - top), (left, width - picture.width - left), (0, 0))
    mode = "reflect" if min(picture.size) > multiple else "symmetric"  # reflection leaves the edge pixel out
    return Image.fromarray(np.pad(np.asarray(picture), margins, mode=mode))  # type: ignore[call-overload]


@lru_cache(maxsize=64)
def _picture_ids(layout: Layout, device: torch.device) -> Tensor:
    """float32 (N, 4)."""
    return _scaled(picture_ids(layout.rows, layout.columns)).to(device)


@lru_cache(maxsize=64)
def _reference_ids(layout: Layout, device: torch.device) -> Tensor:
    """float32 (R, 4): references are told apart on the axis of text, at -1, -2, and so on."""
    parts = []
    for place, (rows, columns) in enumerate(layout.references, start=1):
        ids = _scaled(picture_ids(rows, columns))
        ids[:, 3] = -place
        parts.append(ids)
    return torch.cat(parts).to(device)


@lru_cache(maxsize=64)
def _text_ids(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """float32 (L, 4), counted anew in each of several texts side by side."""
    return torch.cat([text_ids(length) for length in lengths]).float().to(device)


def _scaled(ids: Tensor) -> Tensor:
    ids = ids.float()
    ids[:, 1:3] *= ROPE_SCALE
    return ids
