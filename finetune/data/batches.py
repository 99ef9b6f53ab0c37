"""Which pictures a step sees: a pure function of the data set, the seed and the step.

An epoch shows every example once for each of its buckets and repeats. Within an epoch the slots of each bucket are
permuted, cut into batches (the last one of a bucket may be smaller; none is dropped or padded), and the batches are
permuted. All orders are orders of SHA-256 values, so that they depend on no library's generator and no machine, and a
run that is resumed at step k continues exactly with what it would have seen.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

from finetune.data.buckets import Bucket
from finetune.data.dataset import Dataset
from finetune.data.example import Example

Slot = tuple[str, int]  # example id and number of the repeat


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a batch, with what was drawn for it."""

    example: Example
    caption: str  # empty when it was dropped
    variant: int  # crop and mirror, for `Example.open`


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures of one bucket."""

    bucket: Bucket
    items: tuple[Item, ...]  # 1 to `size`
    size: int  # what was asked for: dividing the summed loss by it lets every picture count the same
    epoch: int  # from 0

    @property
    def ids(self) -> tuple[str, ...]:
        """The examples' ids."""
        return tuple(item.example.id for item in self.items)


def batch_plan(dataset: Dataset, *, batch_size: int, step: int, seed: int) -> Batch:
    """The batch of one step.

    Args:
        dataset: what to train on.
        batch_size: most pictures in a batch, 1 or more.
        step: from 0; every micro-step of an accumulated step is one of its own.
        seed: of the run.

    Returns:
        Pictures of one bucket, with their captions and variants.

    Raises:
        ValueError: a size below 1 or a negative step.
    """
    if batch_size < 1 or step < 0:
        raise ValueError(f"batch_size {batch_size}, step {step}")
    epoch, place = divmod(step, steps_per_epoch(dataset, batch_size))
    bucket, slots = _epoch(dataset, batch_size, epoch, seed)[place]
    items = tuple(_item(dataset, slot, seed, step, index) for index, slot in enumerate(slots))
    return Batch(bucket, items, batch_size, epoch)


def steps_per_epoch(dataset: Dataset, batch_size: int) -> int:
    """Batches in an epoch."""
    return sum(-(-len(slots) // batch_size) for _, slots in _layout(dataset))


def uniform(seed: int, *labels: object) -> float:
    """A number in [0, 1) that is a function of its arguments alone: 53 bits of their SHA-256."""
    return (_number(seed, *labels) >> 11) / 2**53


@lru_cache(maxsize=8)  # by identity: a data set never changes
def _layout(dataset: Dataset) -> tuple[tuple[Bucket, tuple[Slot, ...]], ...]:
    """Every slot of an epoch, by bucket, in the data set's order."""
    slots: dict[Bucket, list[Slot]] = defaultdict(list)
    for example in dataset.examples:
        for bucket in example.buckets:
            slots[bucket].extend((example.id, repeat) for repeat in range(example.repeats))
    return tuple((bucket, tuple(slots[bucket])) for bucket in sorted(slots))


@lru_cache(maxsize=8)
def _epoch(dataset: Dataset, batch_size: int, epoch: int, seed: int) -> tuple[tuple[Bucket, tuple[Slot, ...]], ...]:
    batches: list[tuple[Bucket, tuple[Slot, ...]]] = []
    for bucket, slots in _layout(dataset):
        order = sorted(slots, key=lambda slot: _number(seed, "slot", epoch, bucket, *slot))
        batches += [(bucket, tuple(order[at : at + batch_size])) for at in range(0, len(order), batch_size)]
    return tuple(
        batch
        for _, batch in sorted(enumerate(batches), key=lambda pair: _number(seed, "batch", epoch, batch_size, pair[0]))
    )


def _item(dataset: Dataset, slot: Slot, seed: int, step: int, index: int) -> Item:
    example = dataset.by_id[slot[0]]
    caption = example.captions[int(uniform(seed, "caption", step, index) * len(example.captions))]
    if uniform(seed, "dropout", step, index) < dataset.caption_dropout:
        caption = ""
    variant = int(uniform(seed, "variant", step, index) * example.crops.variants)
    return Item(example, caption, variant)


def _number(*labels: object) -> int:
    digest = hashlib.sha256("\0".join(str(label) for label in labels).encode()).digest()
    return int.from_bytes(digest[:8], "big")
