"""Pictures that are equal, and pictures that are nearly so: resized, recompressed, slightly retouched.

Near duplicates are found by perceptual hashes (dHash and pHash of 64 bits, `imagehash`) and confirmed on small copies,
as flat pictures collide in any hash. Candidates come from bands: two hashes at most d bits apart agree in at least one
of d + 1 bands (pigeonhole), so that only pictures of one band are compared, not all pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finetune.data.errors import DataError

DHASH_BITS = 4  # most bits apart, of 64
PHASH_BITS = 8
DIFFERENCE = 6.0  # most mean absolute difference of the small copies, of 255
WORST = 96.0  # most difference of any of their pixels: a small object that moved is another picture
SIDE = 16  # pixels of a small copy


def equal_groups(digests: Sequence[str]) -> list[list[int]]:
    """Places of equal digests, groups of two and more; empty digests (unreadable pictures) are left out."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, digest in enumerate(digests):
        if digest:
            places[digest].append(place)
    return [group for group in places.values() if len(group) > 1]


def near_groups(pictures: Sequence[Image.Image | None], *, known: Iterable[Iterable[int]] = ()) -> list[list[int]]:
    """Places of pictures that look alike.

    Args:
        pictures: RGB, any size; None is left out.
        known: groups that need no mention, such as equal ones: only their first members are compared.

    Raises:
        DataError: the package imagehash is not there.
    """
    skipped = {place for group in known for place in list(group)[1:]}
    places = [place for place, picture in enumerate(pictures) if picture is not None and place not in skipped]
    chosen = [picture for place in places if (picture := pictures[place]) is not None]
    if len(places) < 2:
        return []
    dhashes, phashes, small = _hashes(chosen)
    pairs = [
        pair
        for pair in _candidates(dhashes, DHASH_BITS)
        if _apart(phashes, pair) <= PHASH_BITS and _alike(small[pair[0]], small[pair[1]])
    ]
    return [[places[number] for number in group] for group in _join(pairs)]


def _hashes(
    pictures: Sequence[Image.Image],
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], list[NDArray[np.int16]]]:
    """64-bit dHash and pHash of each picture, and its small copy (SIDE, SIDE, 3)."""
    try:
        import imagehash
    except ImportError:
        raise DataError(
            "Finding near duplicates needs the package imagehash.", "Install it: pip install 'flux-workbench[train]'."
        ) from None
    dhashes, phashes, small = [], [], []
    for picture in pictures:
        dhashes.append(np.packbits(imagehash.dhash(picture).hash.ravel()).view(np.uint64)[0])
        phashes.append(np.packbits(imagehash.phash(picture).hash.ravel()).view(np.uint64)[0])
        tiny = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
        small.append(np.asarray(tiny.convert("RGB"), np.int16))
    return np.asarray(dhashes, np.uint64), np.asarray(phashes, np.uint64), small


def _candidates(hashes: NDArray[np.uint64], bits: int) -> Iterator[tuple[int, int]]:
    """Pairs at most `bits` apart, each once."""
    edges = [round(64 * band / (bits + 1)) for band in range(bits + 2)]
    seen: set[tuple[int, int]] = set()
    for low, high in pairwise(edges):
        mask = np.uint64((1 << (high - low)) - 1)
        band: dict[int, list[int]] = defaultdict(list)
        for number, value in enumerate((hashes >> np.uint64(low)) & mask):
            band[int(value)].append(number)
        for members in band.values():
            for first, others in _close(hashes, np.asarray(members), bits):
                seen.update((first, int(other)) for other in others)
    yield from sorted(seen)


def _close(
    hashes: NDArray[np.uint64], members: NDArray[np.int64], bits: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each member the later ones at most `bits` apart."""
    for place, first in enumerate(members[:-1]):
        rest = members[place + 1 :]
        near = rest[np.bitwise_count(hashes[rest] ^ hashes[first]) <= bits]
        if len(near):
            yield int(first), near


def _apart(hashes: NDArray[np.uint64], pair: tuple[int, int]) -> int:
    return int(np.bitwise_count(hashes[pair[0]] ^ hashes[pair[1]]))


def _alike(first: NDArray[np.int16], second: NDArray[np.int16]) -> bool:
    difference = np.abs(first - second)
    return bool(difference.mean() <= DIFFERENCE and difference.max() <= WORST)


def _join(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups of numbers that are connected by pairs."""
    leader: dict[int, int] = {}

    def find(number: int) -> int:
        while leader.setdefault(number, number) != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for first, second in pairs:
        leader[max(find(first), find(second))] = min(find(first), find(second))
    groups: dict[int, list[int]] = defaultdict(list)
    for number in sorted(leader):
        groups[find(number)].append(number)
    return list(groups.values())
