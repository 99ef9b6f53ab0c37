"""FLUX.1 Fill: the transformer sees the image without what is masked, and the mask, beside the noise.

Equal to `FluxFillPipeline` of diffusers. It has no place where the image is put back at every step: what stays is pasted
back at the end, as with every masked picture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.engine.canvas import Levels, canvas, mask_levels
from workbench.engine.kinds.base import Conditions, Layout, Pictures
from workbench.engine.kinds.flux1 import Flux1, draw, moments, sample
from workbench.engine.kinds.pictures import image_of, pixels_of
from workbench.engine.latents import pack, patchify
from workbench.engine.plan import Job
from workbench.models.loading import Components


class Fill(Flux1):
    """See the module."""

    def look(self, parts: Components, job: Job, pictures: Pictures) -> Conditions:
        """The image, and the image that is grey where it is drawn anew, as distributions; the mask as channels."""
        recipe = job.recipe
        levels = mask_levels(recipe, pictures.inputs)
        new = torch.from_numpy((levels >= 128).astype(np.float32))[None, None]  # (1, 1, height, width)

        @torch.no_grad()
        def hidden(parts: Components, picture: Image.Image) -> Tensor:
            seen = pixels_of(parts, picture) * (1 - new.to(parts.device, parts.dtype))
            answer = parts.vae.encode(seen, return_dict=False)[0]
            return torch.cat([answer.mean, answer.std])

        facts = (recipe.image, recipe.width, recipe.height, recipe.margins, recipe.mask)
        masked = pictures.get(parts, facts, lambda: canvas(recipe, pictures.inputs), hidden)
        return Conditions(
            image=image_of(parts, job, pictures, moments),
            mask=mask_channels(levels, parts.patch_pixels // 2).to(parts.device, parts.dtype),
            extra=masked,
        )

    def start(self, parts: Components, job: Job, given: Conditions, layout: Layout) -> tuple[Tensor, Conditions]:
        """The image's sample, the noise, the masked image's sample."""
        assert given.image is not None  # of look
        assert given.extra is not None
        assert given.mask is not None
        generator = torch.Generator().manual_seed(job.recipe.seed)
        image = self.from_vae(parts, sample(given.image, generator))
        noise = draw(parts, layout, generator)
        masked = self.from_vae(parts, sample(given.extra, generator))
        extra = torch.cat([masked, given.mask], dim=2)
        return noise, replace(given, image=image, mask=None, extra=extra)


def mask_channels(levels: Levels, scale: int) -> Tensor:
    """The mask with its pixels as channels: float32 (1, N, 4 * scale * scale), 1 where the level is 128 or more.

    Args:
        levels: uint8 (height, width).
        scale: pixels along a side of one latent.
    """
    height, width = levels.shape
    hard = torch.from_numpy((levels >= 128).astype(np.float32))
    cells = hard.view(height // scale, scale, width // scale, scale).permute(1, 3, 0, 2)
    return pack(patchify(cells.reshape(1, scale * scale, height // scale, width // scale)))
