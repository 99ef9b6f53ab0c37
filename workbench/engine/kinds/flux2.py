"""What the FLUX.2 architectures share: batch-norm latents, four-axis positions, references behind the picture."""

from __future__ import annotations

from functools import lru_cache

import torch
from PIL import Image
from torch import Tensor

from workbench.engine.kinds.base import Call, Conditions, Layout, Pictures, Text
from workbench.engine.kinds.pictures import fitted_reference, image_of, mask_of, mode_of
from workbench.engine.latents import (
    denormalise,
    draw_noise,
    normalise,
    pack,
    picture_ids,
    reference_ids,
    text_ids,
    unpack,
)
from workbench.engine.plan import Job
from workbench.engine.regions import attention_mask
from workbench.models.loading import Components


class Flux2Pictures:
    """The part of a `Kind` that has to do with pictures and noise, for `AutoencoderKLFlux2`."""

    def encode_picture(self, parts: Components, picture: Image.Image) -> Tensor:
        """As `Flux2KleinPipeline._encode_vae_image`, which takes the mode too (`sample_mode="argmax"`)."""
        return self.from_vae(parts, mode_of(parts, picture))

    def to_vae(self, parts: Components, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Undoes packing, batch normalisation and patches."""
        return denormalise(parts.vae, unpack(tokens, rows, columns))

    def from_vae(self, parts: Components, latents: Tensor) -> Tensor:
        """Patches, batch normalisation, packing."""
        return pack(normalise(parts.vae, latents))

    def look(self, parts: Components, job: Job, pictures: Pictures) -> Conditions:
        """References and image as tokens, the mask per token."""
        references = [
            fitted_reference(parts, reference, pictures, self.encode_picture) for reference in job.recipe.references
        ]
        return Conditions(
            references=torch.cat(references, dim=1) if references else None,
            image=image_of(parts, job, pictures, self.encode_picture),
            mask=mask_of(parts, job, pictures),
        )

    def enrich(self, parts: Components, job: Job, text: Text, pictures: Pictures) -> Text:
        """Nothing is added to the text."""
        return text

    def start(self, parts: Components, job: Job, given: Conditions, layout: Layout) -> tuple[Tensor, Conditions]:
        """Noise alone is random."""
        noise = draw_noise(job.recipe.seed, parts.latent_channels, layout.rows, layout.columns)
        return noise.to(parts.device, parts.dtype), given


def velocity(parts: Components, call: Call, guidance: Tensor | None) -> Tensor:
    """One pass of `Flux2Transformer2DModel`, cut to the picture's tokens.

    Args:
        parts: the model.
        call: its inputs.
        guidance: the embedded guidance scale, float32 (B,), or None.
    """
    latents = call.latents
    seen = latents if call.references is None else torch.cat([latents, call.references], dim=1)
    text = call.text
    masked = None
    if text.seen_by is not None:
        masked = {"attention_mask": attention_mask(text.seen_by, text.lengths, call.layout)}
    out: Tensor = parts.transformer(
        hidden_states=seen,
        timestep=call.time.to(latents.dtype) / 1000,
        guidance=guidance,
        encoder_hidden_states=call.text.embeds,
        txt_ids=text_ids_of(text.lengths, parts.device),
        img_ids=torch.cat(picture_ids_of(call.layout, parts.device)),
        joint_attention_kwargs=masked,
        return_dict=False,
    )[0]
    return out[:, : latents.shape[1]]


@lru_cache(maxsize=64)
def picture_ids_of(layout: Layout, device: torch.device) -> tuple[Tensor, Tensor]:
    """Positions of the picture, int64 (N, 4), and of the references, (R, 4)."""
    return picture_ids(layout.rows, layout.columns).to(device), reference_ids(layout.references).to(device)


@lru_cache(maxsize=64)
def text_ids_of(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """int64 (L, 4), counted anew in each of several texts side by side."""
    return torch.cat([text_ids(length) for length in lengths]).to(device)
