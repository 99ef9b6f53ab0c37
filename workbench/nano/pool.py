"""Pools of training examples encoded once: packed latents and token ids as memory-mapped arrays on disk.

A pool holds examples of one shape: pictures of one size, each with the same number of reference pictures of that size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers.models import AutoencoderKLFlux2
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from workbench.nano.edits import BUILDERS, sample_edit
from workbench.nano.model import tokenize
from workbench.nano.parallel import Worker
from workbench.nano.render import render
from workbench.nano.scenes import KINDS, Scene, sample_scene
from workbench.nano.tokenizer import build_tokenizer
from workbench.nano.train_vae import patchify
from workbench.nano.views import to_model

CHUNK = 4  # examples encoded together: activations of more fall out of a core's cache and take twice as long


@dataclass(frozen=True)
class Bucket:
    """One shape of examples, as a line of the recipe's `mixture` says it.

    Attributes:
        width: of the picture and its references, in pixels.
        height: in pixels.
        references: how many reference pictures each example has; 0 is text to picture.
        examples: how many the pool holds.
        batch_size: examples a step.
        share: relative frequency of steps that draw from this pool.
        kinds: the only kinds of scenes or instructions in the pool; none named is all, in the grammar's proportions.

    Raises:
        ValueError: a kind is not in the grammar, or takes another number of references.
    """

    width: int
    height: int
    references: int
    examples: int
    batch_size: int
    share: float
    kinds: Sequence[str] = ()

    def __post_init__(self) -> None:
        for kind in self.kinds:
            takes = 0 if kind in KINDS else BUILDERS[kind][0] if kind in BUILDERS else None
            if takes != self.references:
                raise ValueError(
                    f"{kind!r} is no kind with {self.references} references; "
                    "take names of KINDS in scenes.py or of BUILDERS in edits.py"
                )

    @property
    def name(self) -> str:
        """Name of the pool's folder, and in the log."""
        return "-".join((f"{self.width}x{self.height}", str(self.references), *self.kinds))

    @property
    def tokens(self) -> int:
        """Tokens of one picture."""
        return (self.width // 16) * (self.height // 16)


@dataclass(frozen=True)
class Pool:
    """Encoded examples.

    Attributes:
        latents: float16 (examples, (1 + references) * tokens, channels), normalised; the picture first.
        ids: int16 (examples, length) token ids.
        mask: bool (examples, length), False at padding.
    """

    latents: NDArray[np.float16]
    ids: NDArray[np.int16]
    mask: NDArray[np.bool_]


def open_pool(
    folder: Path, vae: AutoencoderKLFlux2, bucket: Bucket, *, length: int, seed: int, device: str, worker: Worker
) -> Pool:
    """The pool of `bucket` below `folder`, made first, by all workers together, when it is not there.

    Args:
        folder: holds one folder a bucket.
        vae: encodes the pictures; its batch-norm statistics normalise the latents.
        bucket: what the pool holds.
        length: text tokens per prompt.
        seed: of the scenes.
        device: where to encode.
        worker: which of the processes this is.

    Raises:
        ValueError: the pool that is there has another number of examples.
    """
    place = folder / bucket.name
    names = {name: place / f"{name}.npy" for name in ("latents", "ids", "mask")}
    if not (place / "complete").exists():
        if worker.leads:
            place.mkdir(parents=True, exist_ok=True)
            pictures = (bucket.examples, (1 + bucket.references) * bucket.tokens, vae.bn.num_features)
            np.lib.format.open_memmap(names["latents"], "w+", np.float16, pictures)
            np.lib.format.open_memmap(names["ids"], "w+", np.int16, (bucket.examples, length))
            np.lib.format.open_memmap(names["mask"], "w+", np.bool_, (bucket.examples, length))
        worker.wait()
        _fill(names, vae, bucket, length=length, seed=seed, device=device, worker=worker)
        worker.wait()
        if worker.leads:
            (place / "complete").touch()
    pool = Pool(**{name: np.load(path, mmap_mode="r") for name, path in names.items()})
    if len(pool.latents) != bucket.examples:
        raise ValueError(
            f"{place} holds {len(pool.latents)} examples and the recipe asks for {bucket.examples}; delete the folder"
        )
    return pool


def examples(bucket: Bucket, rng: Random) -> Iterator[tuple[str, tuple[Scene, ...]]]:
    """Endless (prompt, scenes): the picture's scene first, then those of its references."""
    while True:
        kind: Any = rng.choice(bucket.kinds) if bucket.kinds else None
        if bucket.references:
            edit = sample_edit(rng, kind=kind, references=bucket.references)
            yield edit.prompt, (edit.target, *edit.references)
        else:
            scene = sample_scene(rng, kind=kind)
            yield scene.prompt, (scene,)


@torch.inference_mode()
def _fill(
    names: dict[str, Path],
    vae: AutoencoderKLFlux2,
    bucket: Bucket,
    *,
    length: int,
    seed: int,
    device: str,
    worker: Worker,
) -> None:
    tokenizer = build_tokenizer()
    encoder = Encoder(vae, device)
    arrays: dict[str, Any] = {name: np.load(path, mmap_mode="r+") for name, path in names.items()}
    starts = range(worker.number * CHUNK, bucket.examples, worker.count * CHUNK)
    for start in tqdm(starts, desc=bucket.name, unit="batch", mininterval=10, disable=not worker.leads):
        rng = Random(f"{seed}/{bucket.name}/{start}")  # a chunk is the same whoever makes it
        rows = slice(start, min(start + CHUNK, bucket.examples))
        batch = [example for _, example in zip(range(rows.stop - rows.start), examples(bucket, rng), strict=False)]
        pictures = np.stack([render(scene, bucket.width, bucket.height) for _, scenes in batch for scene in scenes])
        latents = encoder(pictures)  # (b * (1 + references), tokens, channels)
        arrays["latents"][rows] = latents.reshape(len(batch), -1, latents.shape[-1]).half().cpu().numpy()
        tokens, attention = tokenize(tokenizer, [prompt for prompt, _ in batch], length)
        arrays["ids"][rows], arrays["mask"][rows] = tokens.numpy(), attention.numpy().astype(bool)


class Encoder:
    """Pictures to normalised, packed latents, as the engine and `Flux2KleinPipeline` make them."""

    def __init__(self, vae: AutoencoderKLFlux2, device: str) -> None:
        self.vae, self.device = vae.to(memory_format=torch.channels_last), device
        self.mean = vae.bn.running_mean.view(1, -1, 1, 1)
        self.std = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)

    def __call__(self, pictures: NDArray[np.uint8]) -> Tensor:
        """uint8 (b, height, width, 3) to (b, tokens, channels)."""
        moments = self.vae.encode(to_model(pictures).to(self.device)).latent_dist
        latents: Tensor = (patchify(moments.mode()) - self.mean) / self.std  # (b, channels, rows, columns)
        return latents.flatten(2).transpose(1, 2)
