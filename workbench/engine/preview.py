"""Small pictures while denoising: one matrix product from latents to colours.

A linear map from a picture token to 4 x 4 colours is fitted once per VAE, by least squares from the latents of synthetic
pictures to what the decoder makes of them; it is kept by the VAE's fingerprint. A preview so costs well under a
millisecond and no decode.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from workbench.engine.cache import TensorFolder
from workbench.engine.kinds import kind_of
from workbench.models.loading import Components

CELLS = 4  # colours along each side of a token
_SIDE = 128  # pixels of a fitting picture
_PICTURES = 16
_RIDGE = 1e-3  # relative weight of small coefficients, against noise in directions that the pictures hardly use


def preview_map(parts: Components, disk: TensorFolder) -> Tensor:
    """The map of the model's VAE, float32 (C + 1, CELLS * CELLS * 3), fitted when it is not kept yet."""
    if parts.preview_map is None:
        key = parts.model.component_fingerprint("vae")
        stored = disk.read(key)
        if stored is None:
            stored = fit_map(parts)
            disk.write(key, stored)
        parts.preview_map = stored.to(parts.device)
    return parts.preview_map


@torch.no_grad()
def fit_map(parts: Components) -> Tensor:
    """Fit the map on pictures of soft and hard coloured shapes, encoded and decoded again.

    Returns:
        float32 (C + 1, CELLS * CELLS * 3); the last row is the constant.
    """
    pictures = _pictures().to(parts.device, parts.dtype)  # (P, 3, side, side), -1 to 1
    tokens, colours = [], []
    for picture in pictures.split(1):
        latents = parts.vae.encode(picture, return_dict=False)[0].mode()
        tokens.append(kind_of(parts).from_vae(parts, latents).float()[0])
        decoded = parts.vae.decode(latents, return_dict=False)[0].float().clamp(-1, 1)
        colours.append(_cells(decoded, parts.patch_pixels))
    known = torch.cat(tokens).double().cpu()  # (P * N, C)
    known = torch.cat([known, torch.ones(len(known), 1, dtype=torch.double)], dim=1)
    wanted = torch.cat(colours).double().cpu()  # (P * N, CELLS * CELLS * 3)
    gram = known.T @ known
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.double)
    matrix: Tensor = torch.linalg.solve(gram, known.T @ wanted)
    return matrix.float()


@torch.no_grad()
def preview(matrix: Tensor, tokens: Tensor, rows: int, columns: int) -> Image.Image:
    """A picture of one row's estimate, `CELLS` pixels per token and side.

    Args:
        matrix: from `preview_map`.
        tokens: estimated final latents (rows * columns, C).
        rows: height in tokens.
        columns: width in tokens.
    """
    colours = tokens.float() @ matrix[:-1] + matrix[-1]  # (N, CELLS * CELLS * 3)
    grid = colours.view(rows, columns, CELLS, CELLS, 3).transpose(1, 2).reshape(rows * CELLS, columns * CELLS, 3)
    values = ((grid * 0.5 + 0.5).nan_to_num(0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(values.cpu().numpy())


def _cells(pictures: Tensor, patch: int) -> Tensor:
    """Mean colours: (P, 3, H, W) to (P * N, CELLS * CELLS * 3) in the order of tokens, then rows, columns, channels.

    `patch` is the side of a token in pixels.
    """
    means = torch.nn.functional.avg_pool2d(pictures, patch // CELLS)  # (P, 3, H / 4, W / 4)
    count, _, height, width = means.shape
    split = means.view(count, 3, height // CELLS, CELLS, width // CELLS, CELLS)
    return split.permute(0, 2, 4, 3, 5, 1).reshape(-1, CELLS * CELLS * 3)


def _pictures() -> Tensor:
    """Float32 (P, 3, side, side), -1 to 1: gradients with rectangles and discs of random colours, always the same."""
    generator = torch.Generator().manual_seed(0)
    line = torch.linspace(-1, 1, _SIDE)
    x, y = line.view(1, 1, -1), line.view(1, -1, 1)
    pictures = []
    for _ in range(_PICTURES):
        numbers = torch.rand(3, 3, 1, 1, generator=generator) * 2 - 1
        picture = (numbers[0] + 0.4 * numbers[1] * x + 0.4 * numbers[2] * y).clamp(-1, 1)  # (3, side, side)
        for shape in range(8):
            place = torch.rand(4, generator=generator)
            across, down = (x - place[0] * 2 + 1) / (0.1 + place[2]), (y - place[1] * 2 + 1) / (0.1 + place[3])
            inside = torch.maximum(across.abs(), down.abs()) < 1 if shape % 2 else across**2 + down**2 < 1
            colour = torch.rand(3, 1, 1, generator=generator) * 2 - 1
            picture = torch.where(inside, colour, picture)
        pictures.append(picture)
    return torch.stack(pictures)
