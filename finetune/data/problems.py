"""What of a data set must be repaired before it can be trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from finetune.data.config import PLACEHOLDER, DataConfig
from finetune.data.example import buckets_of
from finetune.data.scan import Scanned
from finetune.data.sizes import Sizes

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that must be repaired (error), looked at (warning) or known (note)."""

    kind: str  # a short stable name, such as "unreadable"
    level: Level
    message: str
    remedy: str
    pictures: tuple[str, ...]  # ids


def blocking(scanned: Sequence[Scanned], config: DataConfig, sizes: Sizes) -> list[Problem]:
    """What keeps a data set from being trained on: nothing of it is skipped or mended on the way."""
    found: list[Problem] = []

    def add(kind: str, ids: list[str], message: str, remedy: str) -> None:
        if ids:
            found.append(Problem(kind, "error", message.format(n=len(ids)), remedy, tuple(ids)))

    broken = [(each.entry.id, sentence) for each in scanned for sentence in each.failures]
    if broken:
        add(
            "unreadable",
            [identity for identity, _ in broken],
            f"{{n}} unreadable: {broken[0][1]}",
            "Export them again as PNG or JPEG, or take them out.",
        )
    add(
        "pair missing",
        [each.entry.id for each in scanned if None in each.entry.references],
        "{n} without a reference that the others have",
        "Give every picture its reference, with the same stem, or take it out.",
    )
    add(
        "mask size",
        [e.entry.id for e in scanned if e.mask and e.facts and e.mask.size != (e.facts.width, e.facts.height)],
        "{n} with a mask of another size than the picture",
        "Make the mask as large as its picture.",
    )
    add(
        "blank mask",
        [each.entry.id for each in scanned if each.mask and each.mask.blank],
        "{n} with a mask that is black all over, so that nothing of the picture is trained",
        "Paint white what is to be learned, or take the mask out.",
    )
    add(
        "no caption",
        [each.entry.id for each in scanned if not each.entry.captions],
        "{n} without a caption",
        "Write a .txt beside each or a text in the metadata, or set `caption` for all of a source.",
    )
    add(
        "too many references",
        [each.entry.id for each in scanned if len(each.entry.references) > sizes.references],
        f"{{n}} with more than {sizes.references} reference pictures, which is what {sizes.title} takes",
        "Take some out, or train a family that takes them.",
    )
    return [*found, *_too_small(scanned, config, sizes), *_placeholders(scanned, config)]


def _too_small(scanned: Iterable[Scanned], config: DataConfig, sizes: Sizes) -> list[Problem]:
    """Pictures, or references, that no bucket takes."""
    ids = [
        each.entry.id
        for each in scanned
        if each.facts
        and not buckets_of(
            (each.facts.width, each.facts.height), [part.size for part in each.references], config, sizes
        )
    ]
    if not ids:
        return []
    text = f"{len(ids)} too small or too narrow: a side below {sizes.min_side} pixels once cut to a bucket"
    return [Problem("too small", "error", text, "Take them out or use larger ones; nothing is enlarged.", tuple(ids))]


def _placeholders(scanned: Iterable[Scanned], config: DataConfig) -> list[Problem]:
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
