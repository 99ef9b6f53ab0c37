"""One training picture: its captions, its buckets, and its pixels when they are asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from finetune.data.buckets import Bucket, Geometry, Size, fit, geometry
from finetune.data.config import PLACEHOLDER, DataConfig, source_name
from finetune.data.errors import PictureError
from finetune.data.pictures import Blob, content_digest, cut, decode, decode_mask
from finetune.data.scan import Part, Scanned
from finetune.data.sizes import Sizes, resolutions_of, step_of


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
        return cut(_unchanged(decode(self._picture), self.digest, self._picture), self.geometry(bucket, variant))

    def references_for(self, bucket: Bucket, variant: int = 0) -> tuple[Image.Image, ...]:
        """The reference pictures, of the sizes in `bucket.references`.

        A reference as large as the picture is cut exactly as it; another one is cut at its own centre.
        """
        return tuple(
            cut(_unchanged(decode(blob), part.digest, blob), self._reference_geometry(part, size, bucket, variant))
            for blob, part, size in zip(self._references, self.references, bucket.references, strict=True)
        )

    def mask_for(self, bucket: Bucket, variant: int = 0) -> Image.Image | None:
        """The mask as 8-bit grey of the bucket's size, cut as the picture; None: everything counts."""
        if self._mask is None or self.mask is None:
            return None
        return cut(_unchanged(decode_mask(self._mask), self.mask.digest, self._mask), self.geometry(bucket, variant))

    def geometry(self, bucket: Bucket, variant: int = 0) -> Geometry:
        """Where the picture is cut for `bucket`."""
        return geometry(
            (self.width, self.height), (bucket.width, bucket.height), digest=self.digest, variant=variant,
            crops=self.crops.places, flip=self.crops.flip,
        )  # fmt: skip

    def kept(self, bucket: Bucket) -> float:
        """Share of the picture's area that is inside the crop, 0 to 1."""
        left, upper, right, lower = self.geometry(bucket).box
        return (right - left) * (lower - upper) / (self.width * self.height)

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


def _unchanged(picture: Image.Image, digest: str, blob: Blob) -> Image.Image:
    """`picture`, when it is the one that was read; what is trained on is what the fingerprint says."""
    if content_digest(picture) != digest:
        raise PictureError(
            f"The picture {blob.label} was changed after the data set was read.", "Begin the run again with it."
        )
    return picture


def buckets_of(size: Size, references: Sequence[Size], config: DataConfig, sizes: Sizes) -> tuple[Bucket, ...]:
    """The buckets of a picture, one a resolution; equal ones once, none where the picture is too small."""
    found: list[Bucket] = []
    for resolution in resolutions_of(config, sizes):
        own = _fit(size, resolution, config, sizes)
        if own is None:
            continue
        cap = config.reference_resolution or resolution
        others = [own if each == size else _fit(each, cap, config, sizes) for each in references]
        if None not in others:
            found.append(Bucket(*own, tuple(each for each in others if each)))
    return tuple(dict.fromkeys(found))


def _fit(size: Size, resolution: int, config: DataConfig, sizes: Sizes) -> Size | None:
    return fit(
        size, resolution=resolution, step=step_of(config, sizes, resolution), max_aspect=config.max_aspect,
        min_side=sizes.min_side,
    )  # fmt: skip


def make_example(scanned: Scanned, config: DataConfig, sizes: Sizes) -> Example:
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
        buckets=buckets_of(size, [part.size for part in scanned.references], config, sizes),
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
