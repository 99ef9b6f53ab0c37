"""Latents to 8-bit pictures, refusing numbers that are not finite."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from workbench.engine.kinds import kind_of
from workbench.engine.plan import Job
from workbench.engine.tiles import spans, weights
from workbench.errors import GenerationError
from workbench.models.loading import Components


def check_finite(parts: Components, job: Job, failed_at: Tensor) -> None:
    """Refuse a picture whose latents became infinite or undefined.

    Args:
        parts: the model.
        job: whose picture it is.
        failed_at: int64 (1,), the first bad step, or 0.

    Raises:
        GenerationError: names the recipe, its prompt, the step, and weights that are to blame.
    """
    step = int(failed_at)
    if step:
        raise GenerationError(
            f"The latents of recipe {job.digest[:12]} ({_short(job.recipe.prompt)}) are not finite after step {step} of "
            f"{job.steps}.",
            _damage(parts.transformer, "transformer", adapters=bool(job.recipe.adapters))
            or "Use float32 precision, a smaller adapter weight or a lower guidance scale.",
        )


def _damage(module: torch.nn.Module, name: str, *, adapters: bool = False) -> str:
    """A remedy that names a tensor of weights that is not finite, or '' when all are."""
    for key, value in module.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
            files = f"the {name} or of its adapters" if adapters else f"the {name}"
            return f"The weights {key} of {name} are not finite: the files of {files} are damaged, get them again."
    return ""


@torch.no_grad()
def decode(parts: Components, tokens: Tensor, rows: int, columns: int, *, tile: int | None = None) -> Image.Image:
    """The picture of one row.

    Rounding follows `Flux2ImageProcessor.postprocess`: from -1..1 to 0..1 at the VAE's precision, clamped, times 255,
    rounded half to even; done on the device, so that a byte per value crosses to the host.

    Args:
        parts: the model.
        tokens: final latents (1, rows * columns, C).
        rows: picture height in tokens.
        columns: picture width in tokens.
        tile: decode overlapping tiles of this side, in pixels, which needs less memory and changes pixels slightly:
            the VAE's normalisation and attention see a tile and not the picture. None: whole.
    """
    latents = kind_of(parts).to_vae(parts, tokens, rows, columns)  # (1, C / 4, 2 rows, 2 columns)
    if tile is None or tile >= max(rows, columns) * parts.patch_pixels:
        pixels = _decode(parts, latents)
    else:
        pixels = _decode_tiles(parts, latents, max(2, tile // parts.patch_pixels))
    unit = (pixels * 0.5 + 0.5).clamp(0, 1).float()
    values = (unit * 255).round().to(torch.uint8)[0].permute(1, 2, 0)  # (height, width, 3)
    return Image.fromarray(values.cpu().numpy())


def _decode(parts: Components, latents: Tensor) -> Tensor:
    """Pixels (1, 3, height, width), -1 to 1, of latents (1, C / 4, height / 8, width / 8)."""
    if parts.device.type == "cpu":
        latents = latents.contiguous(memory_format=torch.channels_last)
    pixels: Tensor = parts.vae.decode(latents, return_dict=False)[0]
    if not bool(torch.isfinite(pixels).all()):
        raise GenerationError(
            "The VAE gave pixels that are not finite.", _damage(parts.vae, "vae") or "Use float32 precision."
        )
    return pixels


def _decode_tiles(parts: Components, latents: Tensor, tile: int) -> Tensor:
    """As `_decode`, in tiles of `tile` tokens that share a quarter of their side and are blended in straight lines."""
    scale = parts.patch_pixels // 2  # pixels of a latent; a token is two latents wide
    axes = [spans(size, 2 * tile, 2 * (tile // 4 or 1), 2) for size in latents.shape[2:]]
    shares = [weights([(start * scale, stop * scale) for start, stop in axis]) for axis in axes]
    height, width = (size * scale for size in latents.shape[2:])
    out = torch.zeros(1, 3, height, width, dtype=torch.float32, device=latents.device)
    for (top, bottom), vertical in zip(axes[0], shares[0], strict=True):
        for (left, right), horizontal in zip(axes[1], shares[1], strict=True):
            pixels = _decode(parts, latents[:, :, top:bottom, left:right])
            share = torch.from_numpy(vertical[:, None] * horizontal[None, :]).to(latents.device)
            out[:, :, top * scale : bottom * scale, left * scale : right * scale] += pixels.float() * share
    return out


def _short(prompt: str) -> str:
    return repr(prompt if len(prompt) <= 60 else prompt[:57] + "...")
