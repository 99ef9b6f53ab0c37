"""Pictures of a recipe on their way to the VAE, the same for all architectures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.engine.canvas import Levels, canvas, mask_levels, read_at
from workbench.engine.kinds.base import Pictures
from workbench.engine.plan import Job
from workbench.models.loading import Components
from workbench.recipe.conditions import Reference

Encode = Callable[[Components, Image.Image], Tensor]


def pixels_of(parts: Components, picture: Image.Image) -> Tensor:
    """An RGB picture as the VAE takes it: (1, 3, height, width), -1 to 1, at the model's precision on its device."""
    values = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)  # (height, width, 3)
    pixels = (2.0 * values.permute(2, 0, 1)[None] - 1.0).to(parts.device, parts.dtype)
    return pixels.contiguous(memory_format=torch.channels_last) if parts.device.type == "cpu" else pixels


@torch.no_grad()
def mode_of(parts: Components, picture: Image.Image) -> Tensor:
    """The mode of the VAE's answer to an RGB picture, not normalised: (1, C / 4, height / 8, width / 8)."""
    mode: Tensor = parts.vae.encode(pixels_of(parts, picture), return_dict=False)[0].mode()
    return mode


def token_mask(levels: Levels, patch: int) -> Tensor:
    """The mask of the tokens, float32 (1, N, 1): the highest level of each `patch` x `patch` pixels.

    The highest and not the mean, because a token that is only partly drawn anew keeps a ghost of what was there; the
    pixels decide in the end how far it shows.
    """
    height, width = levels.shape
    cells = levels.reshape(height // patch, patch, width // patch, patch).max(axis=(1, 3))
    return torch.from_numpy(cells.reshape(1, -1, 1).astype(np.float32) / 255.0)


def fitted_reference(parts: Components, reference: Reference, pictures: Pictures, encode: Encode) -> Tensor:
    """Tokens (1, R, C) of a reference at the size that its recipe states."""

    def read() -> Image.Image:
        return read_at(pictures.inputs.open(reference.picture), *reference.pixels, parts.model)

    return pictures.get(parts, (reference.picture, reference.size), read, encode)


def image_of(parts: Components, job: Job, pictures: Pictures, encode: Encode) -> Tensor | None:
    """The image to start from as `encode` gives it, at the recipe's size with its margins; None without one."""
    recipe = job.recipe
    if recipe.image is None:
        return None
    facts = (recipe.image, recipe.width, recipe.height, recipe.margins)
    return pictures.get(parts, facts, lambda: canvas(recipe, pictures.inputs), encode)


def mask_of(parts: Components, job: Job, pictures: Pictures) -> Tensor | None:
    """Where a masked job draws anew, (1, N, 1) at the model's precision; None where all of it is."""
    if not job.masked:
        return None
    levels = mask_levels(job.recipe, pictures.inputs)
    return token_mask(levels, parts.patch_pixels).to(parts.device, parts.dtype)
