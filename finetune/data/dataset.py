"""A data set that is fit to train on: examples with their buckets, in a fixed order, pictures opened when asked for."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PIL import Image

from finetune.data.buckets import Bucket, Geometry, Size, default_step, fit, geometry
from finetune.data.config import PLACEHOLDER, DataConfig, source_name
from finetune.data.errors import DataConfigError, DataError
from finetune.data.manifest import fingerprint
from finetune.data.pictures import Blob, cut, decode, decode_mask
from finetune.data.scan import Part, Problem, Scanned, blocking, scan
from workbench.models.families import FAMILIES, Family

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken

DEFAULT_FAMILY = "flux2-klein"
SHOWN = 5  # pictures named in an error


@dataclass(frozen=True, slots=True)
class Crops:
    """The variants of a picture: places it is cut at, and whether it is mirrored as well."""

    places: int = 1
    flip: bool = False

    @property
    def variants(self) -> int:
        """Number of variants; number 0 is the centre, not mirrored."""
        return self.places * (1 + self.flip)


@dataclass(frozen=True, slots=True)
class Example:
    """One training picture. Everything but its pixels is in memory."""

    id: str  # source and file, the same on every machine
    digest: str  # SHA-256 of the decoded picture
    captions: tuple[str, ...]  # with the trigger; one of them is drawn at every step
    width: int  # of the file, in pixels, upright
    height: int
    references: tuple[Part, ...]  # digest and size of each reference picture
    mask: Part | None
    weight: float  # factor of its loss
    repeats: int  # times in an epoch
    regularisation: bool
    source: str
    buckets: tuple[Bucket, ...]  # one a resolution, equal ones once
    crops: Crops
    _picture: Blob = field(repr=False, compare=False)
    _references: tuple[Blob, ...] = field(repr=False, compare=False)
    _mask: Blob | None = field(repr=False, compare=False)

    @property
    def caption(self) -> str:
        """The first caption."""
        return self.captions[0]

    def open(self, bucket: Bucket, variant: int = 0) -> Image.Image:
        """The picture as 8-bit sRGB of the bucket's size.

        Args:
            bucket: one of `buckets`.
            variant: crop and mirror, 0 to `crops.variants` - 1; 0 is the centre.

        Raises:
            PictureError: the file is no longer what it was.
        """
        return cut(decode(self._picture), self.geometry(bucket, variant))

    def references_for(self, bucket: Bucket, variant: int = 0) -> tuple[Image.Image, ...]:
        """The reference pictures, of the sizes in `bucket.references`.

        A reference as large as the picture is cut exactly as it; another one is cut at its own centre.
        """
        return tuple(
            cut(decode(blob), self._reference_geometry(part, size, bucket, variant))
            for blob, part, size in zip(self._references, self.references, bucket.references, strict=True)
        )

    def mask_for(self, bucket: Bucket, variant: int = 0) -> Image.Image | None:
        """The mask as 8-bit grey of the bucket's size, cut as the picture; None: everything counts."""
        return None if self._mask is None else cut(decode_mask(self._mask), self.geometry(bucket, variant))

    def geometry(self, bucket: Bucket, variant: int = 0) -> Geometry:
        """Where the picture is cut for `bucket`."""
        return geometry(
            (self.width, self.height), (bucket.width, bucket.height), digest=self.digest, variant=variant,
            crops=self.crops.places, flip=self.crops.flip,
        )  # fmt: skip

    def content_key(self, bucket: Bucket, variant: int = 0) -> str:
        """SHA-256 over the pixels of picture and references as they are trained on: the key of a latent cache."""
        parts = [(self.digest, self.geometry(bucket, variant))]
        for part, size in zip(self.references, bucket.references, strict=True):
            parts.append((part.digest, self._reference_geometry(part, size, bucket, variant)))
        text = repr([(digest, each.box, each.size, each.flip) for digest, each in parts])
        return hashlib.sha256(text.encode()).hexdigest()

    def _reference_geometry(self, part: Part, size: Size, bucket: Bucket, variant: int) -> Geometry:
        if part.size == (self.width, self.height):
            return self.geometry(bucket, variant)
        flip = self.crops.flip and variant >= self.crops.places
        return geometry(part.size, size, digest=part.digest, variant=int(flip), crops=1, flip=self.crops.flip)

    @property
    def manifest(self) -> dict[str, Any]:
        """What of this example decides training, as JSON values."""
        return {
            "digest": self.digest,
            "captions": list(self.captions),
            "references": [part.digest for part in self.references],
            "mask": self.mask and self.mask.digest,
            "weight": self.weight,
            "repeats": self.repeats,
            "regularisation": self.regularisation,
            "buckets": [str(bucket) for bucket in self.buckets],
        }


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
    family: Family

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
        pictures: Counter[Bucket] = Counter()
        draws: Counter[Bucket] = Counter()
        kept: defaultdict[Bucket, float] = defaultdict(float)
        for example in self.examples:
            for bucket in example.buckets:
                left, upper, right, lower = example.geometry(bucket).box
                pictures[bucket] += 1
                draws[bucket] += example.repeats
                kept[bucket] += (right - left) * (lower - upper) / (example.width * example.height)
        rows = (BucketRow(each, pictures[each], draws[each], kept[each] / pictures[each]) for each in pictures)
        return tuple(sorted(rows, key=lambda row: (-row.draws, row.bucket)))

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


def read_dataset(
    config: DataConfig | str,
    family: Family | str = DEFAULT_FAMILY,
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
    row = family_row(family)
    check_sizes(config, row)
    scanned = scan(config.sources, progress=progress, token=token)
    problems = [*blocking(scanned), *too_small(scanned, config, row), *placeholders(scanned, config)]
    if problems:
        raise _refusal(problems)
    examples = [make_example(each, config, row) for each in scanned]
    training, held_out = hold_out(examples, config.held_out)
    return Dataset(tuple(training), tuple(held_out), config.caption_dropout, config, row)


def family_row(family: Family | str) -> Family:
    """The row of the family table.

    Raises:
        DataConfigError: there is no family of that name.
    """
    if isinstance(family, Family):
        return family
    if family not in FAMILIES:
        from workbench.errors import nearest

        raise DataConfigError(f"There is no model family {family!r}.", nearest(family, FAMILIES))
    return FAMILIES[family]


def resolutions_of(config: DataConfig, family: Family) -> tuple[int, ...]:
    """The resolutions to train at, in pixels."""
    return config.resolutions or (min(family.width, family.height),)


def step_of(config: DataConfig, family: Family, resolution: int) -> int:
    """Sides of buckets of `resolution` are multiples of this."""
    return config.bucket_step or default_step(resolution, family.size_multiple)


def check_sizes(config: DataConfig, family: Family) -> None:
    """Refuse resolutions and steps that the family cannot do.

    Raises:
        DataConfigError: with the limits of the family.
    """
    multiple = family.size_multiple
    for side in resolutions_of(config, family):
        if side < family.min_side or side * side > family.max_pixels:
            largest = int(family.max_pixels**0.5)
            raise DataConfigError(
                f"The resolution {side} is out of range for {family.title}.", f"It does {family.min_side} to {largest}."
            )
        if side < step_of(config, family, side):
            raise DataConfigError(f"The bucket step is larger than the resolution {side}.", "Make it smaller.")
    if config.bucket_step and config.bucket_step % multiple:
        raise DataConfigError(
            f"The bucket step {config.bucket_step} is no multiple of {multiple}.",
            f"{family.title} needs sides that are multiples of {multiple}.",
        )


def buckets_of(size: Size, references: Sequence[Size], config: DataConfig, family: Family) -> tuple[Bucket, ...]:
    """The buckets of a picture, one a resolution; equal ones once, none where the picture is too small."""
    found: list[Bucket] = []
    for resolution in resolutions_of(config, family):
        own = _fit(size, resolution, config, family)
        if own is None:
            continue
        cap = config.reference_resolution or resolution
        others = [own if each == size else _fit(each, cap, config, family) for each in references]
        if None not in others:
            found.append(Bucket(*own, tuple(each for each in others if each)))
    return tuple(dict.fromkeys(found))


def _fit(size: Size, resolution: int, config: DataConfig, family: Family) -> Size | None:
    return fit(
        size, resolution=resolution, step=step_of(config, family, resolution), max_aspect=config.max_aspect,
        min_side=family.min_side,
    )  # fmt: skip


def make_example(scanned: Scanned, config: DataConfig, family: Family) -> Example:
    """The example that a scanned entry without problems is."""
    entry, facts = scanned.entry, scanned.facts
    assert facts is not None  # refused before
    size = (facts.width, facts.height)
    return Example(
        id=entry.id,
        digest=scanned.digest,
        captions=tuple(with_trigger(text, config, trigger=not entry.source.regularisation) for text in entry.captions),
        width=facts.width,
        height=facts.height,
        references=scanned.references,
        mask=scanned.mask,
        weight=entry.source.weight,
        repeats=entry.source.repeats,
        regularisation=entry.source.regularisation,
        source=source_name(entry.source),
        buckets=buckets_of(size, [part.size for part in scanned.references], config, family),
        crops=Crops(config.crops, config.flip),
        _picture=entry.picture,
        _references=tuple(blob for blob in entry.references if blob),
        _mask=entry.mask,
    )


def with_trigger(caption: str, config: DataConfig, *, trigger: bool = True) -> str:
    """`caption` with the trigger word: in place of `[trigger]`, else by the template, unless it is there already."""
    if not config.trigger or not trigger:
        return caption
    if PLACEHOLDER in caption:
        return caption.replace(PLACEHOLDER, config.trigger)
    if re.search(rf"(?<!\w){re.escape(config.trigger)}(?!\w)", caption):
        return caption
    return config.trigger_template.format(trigger=config.trigger, caption=caption)


def hold_out(examples: Sequence[Example], count: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples. The hash of the pixels decides, so adding a picture moves few others.

    Raises:
        DataConfigError: none would be left to train on.
    """
    candidates = [example for example in examples if not example.regularisation]
    if count >= len(candidates) and count:
        raise DataConfigError(
            f"Holding out {count} of {len(candidates)} pictures leaves none to train on.", "Make `held_out` smaller."
        )

    def rank(example: Example) -> str:
        return hashlib.sha256(f"held out\0{example.digest}\0{example.id}".encode()).hexdigest()

    chosen = {example.id for example in sorted(candidates, key=rank)[:count]}
    return [e for e in examples if e.id not in chosen], [e for e in examples if e.id in chosen]


def too_small(scanned: Iterable[Scanned], config: DataConfig, family: Family) -> list[Problem]:
    """Pictures, or references, that no bucket takes."""
    ids = [
        each.entry.id
        for each in scanned
        if each.facts
        and not buckets_of(
            (each.facts.width, each.facts.height), [part.size for part in each.references], config, family
        )
    ]
    if not ids:
        return []
    text = f"{len(ids)} too small or too narrow: a side below {family.min_side} pixels once cut to a bucket"
    return [Problem("too small", "error", text, "Take them out or use larger ones; nothing is enlarged.", tuple(ids))]


def placeholders(scanned: Iterable[Scanned], config: DataConfig) -> list[Problem]:
    """Captions with `[trigger]` although there is no trigger to stand for."""
    ids = tuple(
        each.entry.id
        for each in scanned
        if any(PLACEHOLDER in text for text in each.entry.captions)
        and (not config.trigger or each.entry.source.regularisation)
    )
    if not ids:
        return []
    return [
        Problem(
            "no trigger", "error", f"{len(ids)} with {PLACEHOLDER} in the caption where there is no trigger word",
            "Set `trigger`, or take it out of the captions (regularisation pictures have none).", ids,
        )
    ]  # fmt: skip


def _refusal(problems: Sequence[Problem]) -> DataError:
    first = problems[0]
    names = ", ".join(first.pictures[:SHOWN])
    more = f" and {len(first.pictures) - SHOWN} more" if len(first.pictures) > SHOWN else ""
    others = f" ({len(problems) - 1} other kinds of problems)" if len(problems) > 1 else ""
    return DataError(
        f"The data must be repaired first: {first.message}: {names}{more}{others}.",
        f"{first.remedy} `finetune check` lists everything.",
    )
