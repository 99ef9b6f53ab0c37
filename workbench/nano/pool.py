"""A pool of training scenes encoded once: packed latents and token ids as memory-mapped arrays on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers.models import AutoencoderKLFlux2
from numpy.typing import NDArray
from tqdm import tqdm

from workbench.nano.model import tokenize
from workbench.nano.render import render
from workbench.nano.scenes import sample_scene
from workbench.nano.tokenizer import build_tokenizer
from workbench.nano.train_vae import patchify, to_model

CHUNK = 64


@dataclass(frozen=True)
class Pool:
    """Encoded scenes: `latents` float16 (scenes, tokens, channels), normalised; `ids`, `mask` (scenes, length)."""

    latents: NDArray[np.float16]
    ids: NDArray[np.int16]
    mask: NDArray[np.bool_]


def open_pool(
    folder: Path, vae: AutoencoderKLFlux2, *, size: int, scenes: int, length: int, seed: int, device: str
) -> Pool:
    """The pool in `folder`, made first when it is not there.

    Args:
        folder: where the arrays live; one folder per size.
        vae: encodes the pictures; its batch-norm statistics normalise the latents.
        size: side of the pictures in pixels.
        scenes: how many to draw.
        length: text tokens per prompt.
        seed: of the scenes.
        device: where to encode.
    """
    names = {name: folder / f"{name}.npy" for name in ("latents", "ids", "mask")}
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fill(names, vae, size=size, scenes=scenes, length=length, seed=seed, device=device)
        (folder / "complete").touch()
    return Pool(**{name: np.load(path, mmap_mode="r") for name, path in names.items()})


@torch.inference_mode()
def _fill(
    names: dict[str, Path], vae: AutoencoderKLFlux2, *, size: int, scenes: int, length: int, seed: int, device: str
) -> None:
    rng, tokenizer = Random(f"{seed}/{size}"), build_tokenizer()
    side, channels = size // 16, vae.bn.num_features
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    std = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)
    latents = np.lib.format.open_memmap(names["latents"], "w+", np.float16, (scenes, side * side, channels))
    ids = np.lib.format.open_memmap(names["ids"], "w+", np.int16, (scenes, length))
    mask = np.lib.format.open_memmap(names["mask"], "w+", np.bool_, (scenes, length))
    for start in tqdm(range(0, scenes, CHUNK), desc=f"encoding {size} px", unit="batch", mininterval=10):
        batch = [sample_scene(rng) for _ in range(min(CHUNK, scenes - start))]
        rows = slice(start, start + len(batch))
        pictures = to_model(np.stack([render(scene, size) for scene in batch])).to(device)
        encoded = (patchify(vae.encode(pictures).latent_dist.mode()) - mean) / std  # (b, channels, side, side)
        latents[rows] = encoded.flatten(2).transpose(1, 2).half().cpu().numpy()
        tokens, attention = tokenize(tokenizer, [scene.prompt for scene in batch], length)
        ids[rows], mask[rows] = tokens.numpy(), attention.numpy().astype(bool)
