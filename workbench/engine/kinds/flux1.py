"""FLUX.1 dev, schnell, Krea-dev and Kontext: T5 and CLIP, three-axis positions, guidance as an input.

Equal to `FluxPipeline`, `FluxImg2ImgPipeline`, `FluxInpaintPipeline`, the two `FluxKontext` and the three `FluxControl`
pipelines of diffusers, random numbers included: they take a sample of the VAE's answer to an image, drawn before the
noise, and the mode of its answer to a reference; Kontext with a mask takes the mode of both.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from workbench.engine.control import control_map
from workbench.engine.kinds.base import Call, Conditions, Layout, Pictures, Text, Tokens
from workbench.engine.kinds.pictures import fitted_reference, image_of, mask_of, mode_of, pixels_of
from workbench.engine.kinds.redux import mix
from workbench.engine.latents import pack, patchify, unpack, unpatchify
from workbench.engine.plan import Job
from workbench.engine.regions import attention_mask
from workbench.errors import ControlError
from workbench.models.loading import Components
from workbench.recipe.controls import DEPTH


class Flux1:
    """See the module."""

    def tokenize(self, parts: Components, prompt: str, length: int) -> Tokens:
        """The prompt for T5, padded to `length`, and for CLIP, of which only a pooled vector is used, cut to its 77."""
        t5, clip = parts.more["tokenizer_2"], parts.tokenizer
        whole = len(t5(prompt, verbose=False)["input_ids"])
        read = t5(prompt, return_tensors="pt", padding="max_length", truncation=True, max_length=length)
        pooled = clip(
            prompt, return_tensors="pt", padding="max_length", truncation=True, max_length=clip.model_max_length
        )
        return Tokens(read["input_ids"], read["attention_mask"], whole, pooled["input_ids"])

    @torch.no_grad()
    def encode(self, parts: Components, tokens: Tokens) -> Text:
        """T5's last states and CLIP's pooled vector: bit-equal to `FluxPipeline.encode_prompt`.

        T5 sees no attention mask there, so its padding is text too.
        """
        device = parts.text_device
        assert tokens.second is not None  # of tokenize
        states = parts.more["text_encoder_2"](tokens.ids.to(device), output_hidden_states=False)[0]  # (1, L, D)
        pooled = parts.text_encoder(tokens.second.to(device), output_hidden_states=False).pooler_output  # (1, P)
        return Text(states, pooled).to(parts.device)

    def encode_picture(self, parts: Components, picture: Image.Image) -> Tensor:
        """As `FluxKontextPipeline._encode_vae_image`, which takes the mode."""
        return self.from_vae(parts, mode_of(parts, picture))

    def to_vae(self, parts: Components, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Undoes packing, scale and shift."""
        config = parts.vae.config
        latents: Tensor = (unpatchify(unpack(tokens, rows, columns)) / config.scaling_factor) + config.shift_factor
        return latents

    def from_vae(self, parts: Components, latents: Tensor) -> Tensor:
        """Shift, scale, packing of 2 x 2 patches."""
        config = parts.vae.config
        return pack(patchify((latents - config.shift_factor) * config.scaling_factor))

    def look(self, parts: Components, job: Job, pictures: Pictures) -> Conditions:
        """References as tokens; the image as the distribution that the VAE gives, see `moments`."""
        references = [
            fitted_reference(parts, reference, pictures, self.encode_picture) for reference in job.recipe.references
        ]
        return Conditions(
            references=torch.cat(references, dim=1) if references else None,
            image=image_of(parts, job, pictures, moments),
            mask=mask_of(parts, job, pictures),
            extra=self._control(parts, job, pictures),
        )

    def _control(self, parts: Components, job: Job, pictures: Pictures) -> Tensor | None:
        """The control picture as the distribution that the VAE gives.

        Raises:
            ControlError: the transformer has no channels for it, or has them and there is no control picture.
        """
        transformer: Any = parts.transformer
        recipe, widened = job.recipe, transformer.x_embedder.in_features > parts.latent_channels
        if widened != (recipe.control is not None):
            raise ControlError(
                f"{parts.model.name} {'needs a' if widened else 'takes no'} control picture.",
                "Give it as `control`, or take the control LoRA out." if widened else
                "Use a model of the family flux1-control, or a control LoRA among the adapters.",
            )  # fmt: skip
        if recipe.control is None or recipe.control_type is None:
            return None
        control, kind, width, height = recipe.control, recipe.control_type, recipe.width or 0, recipe.height or 0

        def read() -> Image.Image:
            return control_map(pictures.inputs.open(control), kind, width, height, parts.companions.get(DEPTH))

        seen_by = parts.companions[DEPTH]["fingerprint"] if kind == "depth" else ""
        return pictures.get(parts, ("control", control, kind, seen_by, width, height), read, moments)

    def enrich(self, parts: Components, job: Job, text: Text, pictures: Pictures) -> Text:
        """Redux: the pictures as further words, all weighted and summed. Source: `FluxPriorReduxPipeline`."""
        return mix(parts, job.recipe.redux, text, pictures) if job.recipe.redux else text

    def start(self, parts: Components, job: Job, given: Conditions, layout: Layout) -> tuple[Tensor, Conditions]:
        """The sample of the control picture, that of the image, the noise; of each what there is."""
        generator = torch.Generator().manual_seed(job.recipe.seed)
        if given.extra is not None and given.image is not None and job.masked:
            # `FluxControlInpaintPipeline` first samples the masked image, for models with more channels than these.
            sample(given.image, generator)
        extra = None if given.extra is None else self.from_vae(parts, sample(given.extra, generator))
        mode = job.masked and parts.model.family.pipeline == "FluxKontextPipeline"  # as `FluxKontextInpaintPipeline`
        image = given.image
        if image is not None:
            image = self.from_vae(parts, image[:1] if mode else sample(image, generator))
        return draw(parts, layout, generator), replace(given, image=image, extra=extra)

    def mu(self, config: dict[str, Any], tokens: int, steps: int) -> float:
        """A straight line in the number of tokens. Source: `calculate_shift` of diffusers."""
        low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        first, last = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        slope = (last - first) / (high - low)
        return float(tokens * slope + (first - slope * low))

    def velocity(self, parts: Components, call: Call) -> Tensor:
        """One pass, with further channels beside and references behind the picture's tokens."""
        latents = call.latents if call.extra is None else torch.cat([call.latents, call.extra], dim=2)
        seen = latents if call.references is None else torch.cat([latents, call.references], dim=1)
        assert call.text.pooled is not None  # of encode
        masked = None
        if call.text.seen_by is not None:
            masked = {"attention_mask": attention_mask(call.text.seen_by, call.text.lengths, call.layout)}
        out: Tensor = parts.transformer(
            hidden_states=seen,
            timestep=call.time.to(latents.dtype) / 1000,
            guidance=call.guidance if parts.model.embeds_guidance else None,
            pooled_projections=call.text.pooled,
            encoder_hidden_states=call.text.embeds,
            txt_ids=torch.zeros(call.text.embeds.shape[1], 3, device=parts.device),
            img_ids=_ids(call.layout, parts.device),
            joint_attention_kwargs=masked,
            return_dict=False,
        )[0]
        return out[:, : latents.shape[1]]


@torch.no_grad()
def moments(parts: Components, picture: Image.Image) -> Tensor:
    """Mean and standard deviation of the VAE's answer, not normalised: (2, C / 4, height / 8, width / 8)."""
    answer = parts.vae.encode(pixels_of(parts, picture), return_dict=False)[0]
    return torch.cat([answer.mean, answer.std])


def sample(moments: Tensor, generator: torch.Generator) -> Tensor:
    """One draw from a distribution of latents (2, c, h, w): (1, c, h, w), drawn in float32 on the CPU."""
    mean, deviation = moments.split(1)
    noise = torch.randn(mean.shape, generator=generator).to(mean.device, mean.dtype)
    drawn: Tensor = mean + deviation * noise
    return drawn


def draw(parts: Components, layout: Layout, generator: torch.Generator) -> Tensor:
    """Initial noise as tokens (1, N, C) at the model's precision; drawn in float32 on the CPU."""
    shape = (1, parts.latent_channels // 4, 2 * layout.rows, 2 * layout.columns)
    return pack(patchify(torch.randn(shape, generator=generator))).to(parts.device, parts.dtype)


@lru_cache(maxsize=64)
def _ids(layout: Layout, device: torch.device) -> Tensor:
    """Positions (number, row, column) of the picture's tokens and of its references', which are number 1: (N + R, 3)."""
    grids = [(0, layout.rows, layout.columns), *((1, rows, columns) for rows, columns in layout.references)]
    axes = [(torch.tensor([number]), torch.arange(rows), torch.arange(columns)) for number, rows, columns in grids]
    return torch.cat([torch.cartesian_prod(*axis) for axis in axes]).float().to(device)
