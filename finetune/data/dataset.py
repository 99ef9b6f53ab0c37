"""A data set that is fit to train on: examples with their buckets, in a fixed order, pictures opened when asked for."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from finetune.data.buckets import Bucket
from finetune.data.config import DataConfig
from finetune.data.errors import DataConfigError, DataError
from finetune.data.example import Example, make_example
from finetune.data.manifest import fingerprint
from finetune.data.problems import Problem, blocking
from finetune.data.scan import scan
from finetune.data.sizes import Sizes, check_sizes, sizes_of
from workbench.models.families import Family

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken

DEFAULT_FAMILY = "flux2-klein"
SHOWN = 5  # pictures named in an error


@dataclass(frozen=True, slots=True)
class BucketRow:
    """One line of the bucket table."""

    bucket: Bucket
    pictures: int  # examples in it
    draws: int  # pictures an epoch takes from it, repeats counted
    kept: float  # mean share of the pictures' area inside the crop


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples in a fixed order, and the ones that are held out. Two are compared by their fingerprints."""

    examples: tuple[Example, ...]
    held_out: tuple[Example, ...]
    caption_dropout: float
    config: DataConfig
    sizes: Sizes

    @cached_property
    def by_id(self) -> dict[str, Example]:
        """All examples, held-out ones too, by id."""
        return {example.id: example for example in (*self.examples, *self.held_out)}

    @property
    def texts(self) -> tuple[str, ...]:
        """Every caption that any step can draw, each once: what a cache of text features has to hold."""
        dropped = ("",) if self.caption_dropout else ()
        return tuple(dict.fromkeys((*(text for each in self.by_id.values() for text in each.captions), *dropped)))

    def buckets(self) -> tuple[BucketRow, ...]:
        """The buckets of the training examples, the fullest first."""
        return bucket_table(self.examples)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Everything that decides training, as JSON values; `describe_difference` compares two."""
        return {
            "format": 1,
            "settings": {
                "caption_dropout": self.caption_dropout,
                "crops": self.config.crops,
                "flip": self.config.flip,
            },
            "examples": {example.id: example.manifest for example in (*self.examples, *self.held_out)},
            "held_out": [example.id for example in self.held_out],
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides training."""
        return fingerprint(self.manifest)


def bucket_table(examples: Iterable[Example]) -> tuple[BucketRow, ...]:
    """The buckets of `examples`, the fullest first."""
    pictures: Counter[Bucket] = Counter()
    draws: Counter[Bucket] = Counter()
    kept: defaultdict[Bucket, float] = defaultdict(float)
    for example in examples:
        for bucket in example.buckets:
            pictures[bucket] += 1
            draws[bucket] += example.repeats
            kept[bucket] += example.kept(bucket)
    rows = (BucketRow(each, pictures[each], draws[each], kept[each] / pictures[each]) for each in pictures)
    return tuple(sorted(rows, key=lambda row: (-row.draws, row.bucket)))


def read_dataset(
    config: DataConfig | str,
    family: Family | Sizes | str = DEFAULT_FAMILY,
    *,
    progress: Callable[[int, int], None] | None = None,
    token: CancelToken | None = None,
) -> Dataset:
    """Decode all pictures once and make a data set of them.

    Args:
        config: what to read; a text is the path of a single source.
        family: the model family that it is for: sizes and, where the configuration has none, the resolution.
        progress: called with (pictures done, pictures in all).
        token: asked between pictures whether to stop.

    Raises:
        DataConfigError: the configuration is wrong, or does not go with the family.
        DataError: something must be repaired first; `finetune check` lists all of it.
        Cancelled: `token` said so.
    """
    config = DataConfig.parse(config) if isinstance(config, str) else config
    sizes = sizes_of(family)
    check_sizes(config, sizes)
    scanned = scan(config.sources, progress=progress, token=token)
    problems = blocking(scanned, config, sizes)
    if problems:
        raise _refusal(problems)
    examples = [make_example(each, config, sizes) for each in scanned]
    training, held_out = hold_out(examples, config.held_out)
    return Dataset(tuple(training), tuple(held_out), config.caption_dropout, config, sizes)


def hold_out(examples: Sequence[Example], count: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples.

    The hash of the pixels decides, so that adding a picture moves few others, and equal pictures are on one side.

    Raises:
        DataConfigError: none would be left to train on.
    """
    candidates = [example for example in examples if not example.regularisation]

    def rank(digest: str) -> str:
        return hashlib.sha256(f"held out\0{digest}".encode()).hexdigest()

    chosen: set[str] = set()
    held = 0
    for digest in sorted({example.digest for example in candidates}, key=rank):
        if held >= count:
            break
        chosen.add(digest)
        held += sum(example.digest == digest for example in candidates)
    if count and held >= len(candidates):
        raise DataConfigError(
            f"Holding out {count} of {len(candidates)} pictures leaves none to train on.", "Make `held_out` smaller."
        )
    apart = [example for example in candidates if example.digest in chosen]
    ids = {example.id for example in apart}
    return [example for example in examples if example.id not in ids], apart


def _refusal(problems: Sequence[Problem]) -> DataError:
    first = problems[0]
    names = ", ".join(first.pictures[:SHOWN])
    more = f" and {len(first.pictures) - SHOWN} more" if len(first.pictures) > SHOWN else ""
    others = f" ({len(problems) - 1} other kinds of problems)" if len(problems) > 1 else ""
    return DataError(
        f"The data must be repaired first: {first.message}: {names}{more}{others}.",
        f"{first.remedy} `finetune check` lists everything.",
    )
