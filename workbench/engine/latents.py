"""Latents of FLUX.2: initial noise, position ids, and the way from picture tokens back to the VAE's latents.

Picture tokens are 2 x 2 patches of the VAE's latents, normalised with the statistics kept in `vae.bn`. Shapes and order
follow `Flux2KleinPipeline` of diffusers, so that equal seeds give equal pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

REFERENCE_TIME = 10  # distance in time between the picture, the first reference, the second; as in diffusers


def draw_noise(seed: int, channels: int, rows: int, columns: int) -> Tensor:
    """The initial latents of one picture.

    Drawn in float32 by a generator on the CPU, so that a seed means the same noise on every device and at every
    precision, and a picture does not depend on its neighbours in a batch.

    Args:
        seed: 0 to 2^63 - 1.
        channels: of a packed latent, four times the VAE's.
        rows: picture height in tokens.
        columns: picture width in tokens.

    Returns:
        Tokens, float32 (1, rows * columns, channels).
    """
    noise = torch.randn((1, channels, rows, columns), generator=torch.Generator().manual_seed(seed))
    return pack(noise)


def pack(latents: Tensor) -> Tensor:
    """Patches as tokens: (B, C, H, W) to (B, H * W, C)."""
    return latents.flatten(2).transpose(1, 2)


def unpack(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Tokens as patches: (B, rows * columns, C) to (B, C, rows, columns)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], rows, columns)


def picture_ids(rows: int, columns: int) -> Tensor:
    """Positions (time, row, column, layer) of the picture tokens: int64 (rows * columns, 4)."""
    zero = torch.zeros(1, dtype=torch.long)
    return torch.cartesian_prod(zero, torch.arange(rows), torch.arange(columns), zero)


def reference_ids(sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Positions of the tokens of all references: int64 (R, 4). The first has time 10, the second 20, and so on.

    Args:
        sizes: rows and columns of each reference, in tokens.
    """
    zero = torch.zeros(1, dtype=torch.long)
    parts = [torch.zeros(0, 4, dtype=torch.long)]
    for place, (rows, columns) in enumerate(sizes, start=1):
        time = zero + REFERENCE_TIME * place
        parts.append(torch.cartesian_prod(time, torch.arange(rows), torch.arange(columns), zero))
    return torch.cat(parts)


def text_ids(length: int) -> Tensor:
    """Positions (time, row, column, place in the text) of the text tokens: int64 (length, 4)."""
    zero = torch.zeros(1, dtype=torch.long)
    return torch.cartesian_prod(zero, zero, zero, torch.arange(length))


def patchify(latents: Tensor) -> Tensor:
    """2 x 2 patches as channels: (B, C, 2H, 2W) to (B, 4C, H, W)."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
    return patches.reshape(batch, 4 * channels, height // 2, width // 2)


def unpatchify(latents: Tensor) -> Tensor:
    """The inverse of `patchify`: (B, 4C, H, W) to (B, C, 2H, 2W)."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    return patches.reshape(batch, channels // 4, 2 * height, 2 * width)


def statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1, C, 1, 1) by which the VAE's patches are normalised, on the device of `like`."""
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    deviation = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)
    return mean.to(like.device, like.dtype), deviation.to(like.device, like.dtype)


def normalise(vae: Any, latents: Tensor) -> Tensor:
    """The VAE's latents as the transformer knows them: (B, C, 2H, 2W) to (B, 4C, H, W)."""
    patches = patchify(latents)
    mean, deviation = statistics(vae, patches)
    return (patches - mean) / deviation


def denormalise(vae: Any, patches: Tensor) -> Tensor:
    """The inverse of `normalise`: (B, 4C, H, W) to (B, C, 2H, 2W)."""
    mean, deviation = statistics(vae, patches)
    return unpatchify(patches * deviation + mean)
