"""From a data set to batches of tensors: everything is encoded once before the first step.

A batch is a function of (data, seed, step): which pictures, captions and crops is decided by `finetune.data.batches`,
noise levels and noise by generators of their own for every step and place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from finetune.base import Base
from finetune.batch import Batch, Grid, Text
from finetune.cache import FeatureCache, Tensors, feature_key
from finetune.config import TrainConfig, TrainConfigError
from finetune.data import Bucket, Dataset, Example, Item, batch_plan
from finetune.sampling import draw_sigma, fixed_levels, generator
from workbench.engine.events import CancelToken
from workbench.errors import Cancelled

Progress = Callable[[int, int], None]


@dataclass
class Features:
    """The encoded data set."""

    dataset: Dataset
    cache: FeatureCache
    text_key: str
    picture_key: str
    patch: int  # pixels of a token's side
    warnings: tuple[str, ...]  # captions that were cut

    def check_batches(self, config: TrainConfig) -> None:
        """Refuse batches whose texts do not stack: FLUX.3 reads captions in windows of different lengths.

        Raises:
            TrainConfigError: with what to set.
        """
        lengths = {self._text(caption)["embeds"].shape[1] for caption in self.dataset.texts}
        if len(lengths) > 1 and config.batch_size > 1:
            raise TrainConfigError(
                f"Captions are read in windows of {len(lengths)} different lengths, which do not stack.",
                f"Set batch_size: 1 and accumulation: {config.batch_size * config.accumulation}.",
            )

    def batch(self, items: Sequence[tuple[Item, int]], bucket: Bucket, *, config: TrainConfig, step: int) -> Batch:
        """The tensors of some pictures of one bucket.

        Args:
            items: pictures with their places in the whole batch.
            bucket: what they share.
            config: seed and noise levels.
            step: from 0; accumulated batches count one by one.
        """
        seed, grid = config.seed, self._grid(bucket.width, bucket.height)
        rows = [self._picture(item.example, bucket, item.variant) for item, _ in items]
        random = [generator(seed, "noise", step, place) for _, place in items]
        sigma = torch.stack([draw_sigma(config.timesteps, grid[0] * grid[1], each) for each in random])
        noise = torch.cat(
            [torch.randn(row["clean"].shape, generator=each) for row, each in zip(rows, random, strict=True)]
        )
        return self._batch(
            rows, [self._text(item.caption) for item, _ in items], bucket, noise=noise, sigma=sigma,
            names=tuple(item.example.id for item, _ in items),
            weight=torch.tensor([item.example.weight for item, _ in items]),
            prior=tuple(is_prior(item) for item, _ in items),
        )  # fmt: skip

    def drawn(self, config: TrainConfig, step: int) -> list[tuple[str, float]]:
        """The pictures of one batch with their noise levels, as `batch` draws them."""
        bucket, items = plan(self.dataset, config, step)
        rows, columns = self._grid(bucket.width, bucket.height)
        random = (generator(config.seed, "noise", step, place) for _, place in items)
        levels = [float(draw_sigma(config.timesteps, rows * columns, each)) for each in random]
        return [(item.example.id, level) for (item, _), level in zip(items, levels, strict=True)]

    def held_out(self, config: TrainConfig) -> Iterator[Batch]:
        """Every held-out picture at fixed levels with fixed noise, in batches of the training's size at most."""
        for example in self.dataset.held_out:
            bucket = example.buckets[0]
            row, text = self._picture(example, bucket, 0), self._text(example.caption)
            levels = fixed_levels(config.held_out.levels)
            for start in range(0, len(levels), max(4, config.batch_size)):
                part = levels[start : start + max(4, config.batch_size)]
                random = [generator(config.seed, "held-out", example.id, level) for level in part]
                noise = torch.cat([torch.randn(row["clean"].shape, generator=each) for each in random])
                yield self._batch(
                    [row] * len(part), [text] * len(part), bucket, noise=noise, sigma=torch.tensor(part),
                    names=(example.id,) * len(part), weight=torch.ones(len(part)),
                )  # fmt: skip

    def _batch(
        self, rows: Sequence[Tensors], texts: Sequence[Tensors], bucket: Bucket, *,
        noise: Tensor, sigma: Tensor, names: tuple[str, ...], weight: Tensor, prior: tuple[bool, ...] = (),
    ) -> Batch:  # fmt: skip
        pooled = [text["pooled"] for text in texts if "pooled" in text]
        masks = [row["mask"] if "mask" in row else torch.ones(row["clean"].shape[:2]) for row in rows]
        return Batch(
            names=names,
            clean=torch.cat([row["clean"] for row in rows]),
            noise=noise,
            sigma=sigma,
            text=Text(torch.cat([text["embeds"] for text in texts]), torch.cat(pooled) if pooled else None),
            grid=self._grid(bucket.width, bucket.height),
            weight=weight,
            references=tuple(
                torch.cat([row[f"reference_{number}"] for row in rows]) for number in range(len(bucket.references))
            ),
            reference_grids=tuple(self._grid(*size) for size in bucket.references),
            mask=torch.cat(masks) if any("mask" in row for row in rows) else None,
            prior=prior,
        )

    def _grid(self, width: int, height: int) -> Grid:
        return height // self.patch, width // self.patch

    def _picture(self, example: Example, bucket: Bucket, variant: int) -> Tensors:
        return _present(self.cache, picture_key(self.picture_key, example, bucket, variant), example.id)

    def _text(self, caption: str) -> Tensors:
        return _present(self.cache, feature_key("text", self.text_key, caption), caption)


def is_prior(item: Item) -> bool:
    """Whether an example should stay as the base answers: regularisation, and captions that were dropped.

    Guidance subtracts the answer to no caption; were that to learn the concept as well, guidance would take it away. Only
    with references it should learn: there it says what pictures of the task look like, far from the base's answer, and no
    picture without references asks for it.
    """
    dropped = not item.caption and bool(item.example.caption) and not item.example.references
    return item.example.regularisation or dropped


def _present(cache: FeatureCache, key: str, what: str) -> Tensors:
    found = cache.get(key)
    if found is None:
        raise TrainConfigError(
            f"The cached features of {what!r} are gone.", "Leave the cache folder alone during a run; resume to go on."
        )
    return found


def picture_key(vae: str, example: Example, bucket: Bucket, variant: int) -> str:
    """The cache key of one picture's latents, with those of its references and its mask."""
    mask = example.mask and example.mask.digest
    return feature_key("picture", vae, example.content_key(bucket, variant), mask)


def encode_dataset(
    dataset: Dataset,
    base: Base,
    cache: FeatureCache,
    *,
    progress: Progress | None = None,
    token: CancelToken | None = None,
) -> Features:
    """Encode every picture variant and every caption that a step can draw, unless the cache has them.

    Args:
        dataset: what to train on.
        base: with its encoders.
        cache: where features are kept.
        progress: called with (done, in all).
        token: asked before each encoding whether to stop.

    Raises:
        TrainConfigError: the model takes no references, or fewer; captions of different lengths in one batch.
        PictureError: a picture is no longer what it was.
        Cancelled: `token` said so.
    """
    encoders = base.encoders
    assert encoders is not None  # dropped only after this
    _check_references(dataset, base)
    patch, texts = base.row.size_multiple, dataset.texts
    pictures = [
        (example, bucket, variant)
        for held_out, examples in ((False, dataset.examples), (True, dataset.held_out))
        for example in examples
        for bucket in (example.buckets[:1] if held_out else example.buckets)
        for variant in range(1 if held_out else example.crops.variants)
    ]
    total, warnings = len(pictures) + len(texts), list[str]()
    jobs: list[tuple[str, Callable[[], Tensors]]] = []
    for caption in texts:

        def read(caption: str = caption) -> Tensors:
            text, warning = encoders.text(caption)
            warnings.extend([warning] if warning else [])
            return {"embeds": text.embeds} | ({} if text.pooled is None else {"pooled": text.pooled})

        jobs.append((feature_key("text", encoders.text_key, caption), read))
    for example, bucket, variant in pictures:

        def encode(example: Example = example, bucket: Bucket = bucket, variant: int = variant) -> Tensors:
            return _encode(example, bucket, variant, base, patch)

        jobs.append((picture_key(encoders.picture_key, example, bucket, variant), encode))
    for done, (key, make) in enumerate(jobs, start=1):
        if token is not None and token.cancelled:
            raise Cancelled("The run was stopped while its data were encoded.", "Resume to go on.")
        cache.get_or_make(key, make)
        if progress is not None:
            progress(done, total)
    return Features(dataset, cache, encoders.text_key, encoders.picture_key, patch, tuple(warnings))


def _encode(example: Example, bucket: Bucket, variant: int, base: Base, patch: int) -> Tensors:
    assert base.encoders is not None
    tensors: Tensors = {"clean": base.encoders.picture(example.open(bucket, variant))[0].float()}
    for number, picture in enumerate(example.references_for(bucket, variant)):
        tensors[f"reference_{number}"] = base.encoders.picture(picture)[0].float()
    mask = example.mask_for(bucket, variant)
    if mask is not None:
        levels = torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255)  # (height, width)
        cells = levels.reshape(bucket.height // patch, patch, bucket.width // patch, patch)
        tensors["mask"] = cells.mean(dim=(1, 3)).reshape(1, -1)  # share of each token that counts
    return tensors


def _check_references(dataset: Dataset, base: Base) -> None:
    most = base.family.references
    for example in (*dataset.examples, *dataset.held_out):
        if len(example.references) > most:
            raise TrainConfigError(
                f"The example {example.id} has {len(example.references)} references; {base.family.title} takes {most}.",
                "Remove some, or train a model that takes them (FLUX.2 takes 4, Kontext 1).",
            )


def plan(dataset: Dataset, config: TrainConfig, step: int) -> tuple[Bucket, list[tuple[Item, int]]]:
    """Bucket, and pictures with their places, of the micro-step `step` (from 0)."""
    batch = batch_plan(dataset, batch_size=config.batch_size, step=step, seed=config.seed)
    return batch.bucket, [(item, place) for place, item in enumerate(batch.items)]
