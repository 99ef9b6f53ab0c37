"""References, images and masks as the transformer takes them: every distinct picture goes through the VAE once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.conditions import Reference
from workbench.engine.canvas import Levels, canvas, mask_levels, read_at
from workbench.engine.latents import normalise, pack
from workbench.engine.plan import Job
from workbench.models.inputs import Inputs
from workbench.models.loading import Components


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one row is given besides its text."""

    references: Tensor | None = None  # tokens of all references, one after the other, (1, R, C)
    image: Tensor | None = None  # tokens of the picture to start from, (1, N, C)
    mask: Tensor | None = None  # (1, N, 1), 1 is drawn anew


@torch.no_grad()
def encode_picture(parts: Components, picture: Image.Image) -> Tensor:
    """An RGB picture as tokens (1, N, C) at the model's precision: the mode of the VAE's answer, normalised.

    Equal to `Flux2KleinPipeline._encode_vae_image`, which takes the mode too (`sample_mode="argmax"`).
    """
    values = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)  # (height, width, 3)
    pixels = (2.0 * values.permute(2, 0, 1)[None] - 1.0).to(parts.device, parts.dtype)  # (1, 3, height, width)
    if parts.device.type == "cpu":
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    return pack(normalise(parts.vae, parts.vae.encode(pixels, return_dict=False)[0].mode()))


def token_mask(levels: Levels, patch: int) -> Tensor:
    """The mask of the tokens, float32 (1, N, 1): the highest level of each `patch` x `patch` pixels.

    The highest and not the mean, because a token that is only partly drawn anew keeps a ghost of what was there; the
    pixels decide in the end how far it shows.
    """
    height, width = levels.shape
    cells = levels.reshape(height // patch, patch, width // patch, patch).max(axis=(1, 3))
    return torch.from_numpy(cells.reshape(1, -1, 1).astype(np.float32) / 255.0)


class PictureCache:
    """Tokens of pictures by all that decides them: VAE, precision, device, pixels, size.

    Args:
        inputs: where the pictures are.
        limit: bytes kept in memory; the least recently used go first.
    """

    def __init__(self, inputs: Inputs, limit: int = 256 * 2**20) -> None:
        self._inputs, self._limit = inputs, limit
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self.encoded = 0  # pictures that went through the VAE
        self.found = 0  # pictures that were there already

    def conditions(self, parts: Components, job: Job) -> Conditions:
        """What a job's row is given.

        Raises:
            InputError: a picture is gone or was changed on disk.
        """
        recipe = job.recipe
        references = [self._reference(parts, reference) for reference in recipe.references]
        image = mask = None
        if recipe.image is not None:
            facts = (recipe.image, recipe.width, recipe.height, recipe.margins)
            image = self._get(parts, facts, lambda: canvas(recipe, self._inputs))
        if job.masked:
            mask = token_mask(mask_levels(recipe, self._inputs), parts.patch_pixels).to(parts.device, parts.dtype)
        return Conditions(torch.cat(references, dim=1) if references else None, image, mask)

    def _reference(self, parts: Components, reference: Reference) -> Tensor:
        def read() -> Image.Image:
            picture, model = self._inputs.open(reference.picture), parts.model
            return read_at(picture, *reference.pixels, model.reference_pixels, model.size_multiple)

        return self._get(parts, (reference.picture, reference.size), read)

    def _get(self, parts: Components, facts: tuple[object, ...], read: Callable[[], Image.Image]) -> Tensor:
        """Tokens (1, N, C) of the picture that `read` gives and `facts` identify."""
        vae = parts.model.component_fingerprint("vae")
        key = hashlib.sha256(repr((vae, parts.precision, str(parts.device), facts)).encode()).hexdigest()
        if (found := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            self.found += 1
            return found
        tokens = encode_picture(parts, read())
        self.encoded += 1
        self._kept[key] = tokens
        self._bytes += tokens.nbytes
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return tokens

    def clear(self) -> None:
        """Forget what is in memory."""
        self._kept.clear()
        self._bytes = 0
