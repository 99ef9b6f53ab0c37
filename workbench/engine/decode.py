"""Latents to 8-bit pictures, refusing numbers that are not finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from workbench.engine.kinds import kind_of
from workbench.engine.plan import Job
from workbench.errors import GenerationError
from workbench.models.loading import Components


def check_finite(job: Job, failed_at: Tensor) -> None:
    """Refuse a picture whose latents became infinite or undefined.

    Args:
        job: whose picture it is.
        failed_at: int64 (1,), the first bad step, or 0.

    Raises:
        GenerationError: names the recipe, its prompt and the step.
    """
    step = int(failed_at)
    if step:
        raise GenerationError(
            f"The latents of recipe {job.digest[:12]} ({_short(job.recipe.prompt)}) are not finite after step {step} of "
            f"{job.steps}.",
            "Use float32 precision, a smaller adapter weight or a lower guidance scale.",
        )


@torch.no_grad()
def decode(parts: Components, tokens: Tensor, rows: int, columns: int, *, tiled: bool = False) -> Image.Image:
    """The picture of one row.

    Rounding follows `Flux2ImageProcessor.postprocess`: from -1..1 to 0..1 at the VAE's precision, clamped, times 255,
    rounded half to even; done on the device, so that a byte per value crosses to the host.

    Args:
        parts: the model.
        tokens: final latents (1, rows * columns, C).
        rows: picture height in tokens.
        columns: picture width in tokens.
        tiled: decode overlapping tiles, which needs less memory and changes pixels slightly.
    """
    latents = kind_of(parts).to_vae(parts, tokens, rows, columns)  # (1, C / 4, 2 rows, 2 columns)
    if parts.device.type == "cpu":
        latents = latents.contiguous(memory_format=torch.channels_last)
    with _tiles(parts.vae, max(rows, columns), tiled=tiled):
        pixels = parts.vae.decode(latents, return_dict=False)[0]  # (1, 3, height, width), -1 to 1
    if not bool(torch.isfinite(pixels).all()):
        raise GenerationError("The VAE gave pixels that are not finite.", "Use float32 precision.")
    unit = (pixels * 0.5 + 0.5).clamp(0, 1).float()
    values = (unit * 255).round().to(torch.uint8)[0].permute(1, 2, 0)  # (height, width, 3)
    return Image.fromarray(values.cpu().numpy())


@contextmanager
def _tiles(vae: Any, side: int, *, tiled: bool) -> Iterator[None]:
    """Let the VAE decode in tiles of half the longer side, `side` tokens, and put its settings back afterwards."""
    before = vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size
    if tiled:
        vae.use_tiling = True
        vae.tile_latent_min_size = side  # a token is two latents wide
        vae.tile_sample_min_size = side * 2 ** (len(vae.config.block_out_channels) - 1)
    try:
        yield
    finally:
        vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size = before


def _short(prompt: str) -> str:
    return repr(prompt if len(prompt) <= 60 else prompt[:57] + "...")
