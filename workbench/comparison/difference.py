"""How two pictures differ, pixel by pixel: numbers, and a map in colours from black (equal) to white (most)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workbench.errors import InputError

TOLERANCE = 1  # levels of 255 that count as equal, as in `workbench verify`
LEAST = 8  # levels: differences smaller than this are not blown up to full white
# Black, violet, red, orange, yellow, white: lightness rises evenly, so that the map also reads in grey.
STOPS = ((0, 0, 0), (59, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (255, 255, 255))


@dataclass(frozen=True, slots=True)
class Difference:
    """What `difference` found."""

    levels: NDArray[np.uint8]  # (height, width): largest difference of the three channels, 0 to 255
    mean: float  # mean absolute difference over all channels, levels of 255
    largest: int  # levels of 255
    changed: float  # share of pixels that differ by more than `TOLERANCE`, 0 to 1
    psnr: float | None  # decibels, with 255 as the peak; None for equal pictures

    def heat_map(self, full: int | None = None) -> Image.Image:
        """The map in colours.

        Args:
            full: levels that are shown white; default: the largest difference, but at least `LEAST`.
        """
        full = max(self.largest, LEAST) if full is None else full
        # Whole numbers, halves up: compare.js does the same, and the two languages' own roundings differ on halves.
        places = (510 * np.minimum(self.levels.astype(np.int64), full) + full) // (2 * full)  # 0 to 255
        return Image.fromarray(ramp()[places])

    @property
    def sentence(self) -> str:
        """In words."""
        if self.largest == 0:
            return "equal, bit for bit"
        return (
            f"{self.changed:.1%} of the pixels differ by more than {TOLERANCE} level, at most by {self.largest} of 255, "
            f"{self.mean:.2f} on average; PSNR {self.psnr:.1f} dB"
        )


def difference(first: Image.Image, second: Image.Image) -> Difference:
    """Compare two pictures of one size.

    PSNR is 10 log10(255^2 / MSE) over all channels.

    Args:
        first: any mode, read as RGB.
        second: of the same size.

    Raises:
        InputError: the sizes differ.
    """
    if first.size != second.size:
        sizes = " and ".join(f"{width} x {height}" for width, height in (first.size, second.size))
        raise InputError(f"The pictures have different sizes, {sizes}.", "Compare pictures of one size.")
    one, other = (np.asarray(each.convert("RGB"), np.int16) for each in (first, second))  # (height, width, 3)
    apart = np.abs(one - other)
    levels = apart.max(axis=2).astype(np.uint8)
    square = float(np.mean(apart.astype(np.float64) ** 2))
    return Difference(
        levels=levels,
        mean=float(apart.mean()),
        largest=int(levels.max(initial=0)),
        changed=float(np.mean(levels > TOLERANCE)),
        psnr=10 * float(np.log10(255**2 / square)) if square else None,
    )


def ramp() -> NDArray[Any]:
    """The 256 colours of the map, (256, 3) of uint8."""
    places = np.linspace(0, 255, len(STOPS))
    stops = np.asarray(STOPS, np.float64)
    channels = [np.interp(np.arange(256), places, stops[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)
