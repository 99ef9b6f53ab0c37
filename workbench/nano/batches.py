"""What a step of training sees: a function of (seed, step) alone, so that a resumed run continues as if it had not stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.models import AutoencoderKLFlux2
from torch import Tensor

from workbench.nano.model import position_ids, tokenize
from workbench.nano.parallel import Worker
from workbench.nano.pool import Bucket, Pool, open_pool
from workbench.nano.tokenizer import build_tokenizer


class Batches:
    """The batches of a recipe's mixture.

    Args:
        out: holds the pools.
        vae: encodes what a pool lacks.
        config: the recipe; `training.mixture` names the buckets.
        device: where batches go.
        worker: takes its share of every batch.
    """

    def __init__(
        self, out: Path, vae: AutoencoderKLFlux2, config: dict[str, Any], *, device: str, worker: Worker
    ) -> None:
        self.seed, self.device, self.worker = config["seed"], device, worker
        self.length = config["text_encoder"]["max_sequence_length"]
        self.settings = config["training"]
        self.buckets = [Bucket(**line) for line in self.settings["mixture"]]
        self.pools = [
            open_pool(out / "pools", vae, each, length=self.length, seed=self.seed, device=device, worker=worker)
            for each in self.buckets
        ]
        ids, mask = tokenize(build_tokenizer(), [""], self.length)
        self.empty = ids[0], mask[0]  # (length,) each: the prompt of classifier-free guidance

    def at(self, step: int) -> tuple[Bucket, dict[str, Tensor]]:
        """This worker's share of the batch at `step`, and the bucket it was drawn from.

        Returns:
            `clean` and `noise` (b, tokens, channels), `references` (b, references * tokens, channels), `time` and
            `uniform` (b,), numbers of 0 to 1 with the training's and with equal density, spread over the whole batch,
            `ids` and `mask` (b, length), and the rotary positions `text` (length, 4) and `pictures`
            ((1 + references) * tokens, 4).
        """
        choice = draw_bucket(self.buckets, seed=self.seed, step=step)
        bucket = self.buckets[choice]
        batch = batch_of(
            self.pools[choice],
            bucket,
            empty=self.empty,
            config=self.settings,
            seed=self.seed,
            step=step,
        )
        share = self.worker.share_of(bucket.batch_size)
        mine = {key: value[share].to(self.device) for key, value in batch.items()}
        text, pictures = position_ids(self.length, bucket.height // 16, bucket.width // 16, bucket.references)
        return bucket, mine | {"text": text.to(self.device), "pictures": pictures.to(self.device)}


def draw_bucket(buckets: list[Bucket], *, seed: int, step: int) -> int:
    """Which bucket the batch of `step` comes from: a function of (seed, step) alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    shares = torch.tensor([float(bucket.share) for bucket in buckets])
    return int(torch.multinomial(shares, 1, generator=generator))


def batch_of(
    pool: Pool,
    bucket: Bucket,
    *,
    empty: tuple[Tensor, Tensor],
    config: dict[str, Any],
    seed: int,
    step: int,
) -> dict[str, Tensor]:
    """The batch at `step`, a function of (seed, step) alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    size = bucket.batch_size
    rows = torch.randint(len(pool.latents), (size,), generator=generator).numpy()
    latents = torch.from_numpy(pool.latents[rows]).float()  # (b, (1 + references) * tokens, channels)
    clean, references = latents.split((bucket.tokens, bucket.references * bucket.tokens), dim=1)
    ids, mask = torch.from_numpy(pool.ids[rows]).long(), torch.from_numpy(pool.mask[rows]).long()
    dropped = torch.rand(size, generator=generator) < config["prompt_dropout"]
    ids[dropped], mask[dropped] = empty
    noise = torch.randn(clean.shape, generator=generator)
    # One number from each of `size` equal parts, so that batches differ less in how hard they are (Kingma et al. 2021).
    uniform = (torch.arange(size) + torch.rand(size, generator=generator)) / size
    time = torch.sigmoid(torch.special.ndtri(uniform) + config["timestep_mean"])
    return {
        "clean": clean,
        "references": references,
        "noise": noise,
        "time": time,
        "uniform": uniform,
        "ids": ids,
        "mask": mask,
    }
