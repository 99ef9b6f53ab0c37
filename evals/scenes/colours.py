"""The everyday name of a colour, from its place in CIELAB.

Each name owns several exemplars (what people call by that name, taken from the CSS and X11 colour lists and their
neighbourhood), a colour takes the name of its nearest exemplar by CIEDE2000, and one that is far from all has no name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

Lab = tuple[float, float, float]

REJECT_DISTANCE = 16.0
"""CIEDE2000 beyond which a colour has no name; 2 is just visible, 10 is visible at a glance."""

EXEMPLARS: dict[str, tuple[str, ...]] = {
    "red": ("ff0000", "dc143c", "cc1111", "b22222", "e63946", "c8102e", "d83030"),
    "green": ("008000", "228b22", "2e8b57", "32cd32", "3cb371", "00a550", "1b7f3b", "4caf50"),
    "blue": ("0000ff", "4169e1", "1e50c8", "0000cd", "2255cc", "1f77b4", "3b5bdb"),
    "yellow": ("ffff00", "ffd700", "ffe135", "f5d020", "fce94f", "ffdb2a"),
    "orange": ("ffa500", "ff8c00", "ff7f0e", "f57c00", "ee7f20", "fb923c"),
    "purple": ("800080", "6a0dad", "7b2d9e", "8e44ad", "9467bd", "663399", "71368a"),
    "pink": ("ffc0cb", "ff69b4", "ffb6c1", "f78fb3", "fb7db8", "ee82a8"),
    "cyan": ("00ffff", "00ced1", "22c5d5", "40e0d0", "17becf", "48d1e0"),
    "brown": ("8b4513", "654321", "7b4a23", "a0522d", "6b4423", "5c3a1e"),
    "black": ("000000", "101010", "1c1c1c"),
    "white": ("ffffff", "f8f8f8", "f0f0f0"),
    "gray": ("808080", "707070", "909090", "a0a0a0", "606060"),
}
"""Colour names and sRGB exemplars in hexadecimal."""

NAMES = tuple(EXEMPLARS)


@dataclass(frozen=True, slots=True)
class Named:
    """A colour and what it is called."""

    name: str  # one of NAMES, or "unknown"
    distance: float  # CIEDE2000 to the nearest exemplar
    margin: float  # how much farther the nearest exemplar of another name is, CIEDE2000
    lab: Lab

    def __str__(self) -> str:
        return f"{self.name} (Lab {self.lab[0]:.0f} {self.lab[1]:.0f} {self.lab[2]:.0f})"


def name_of(lab: Lab) -> Named:
    """Name one colour.

    Args:
        lab: CIELAB under D65: L 0 to 100, a and b about -128 to 127.
    """
    owners, exemplars = _table()
    distances = deltaE_ciede2000(np.asarray(lab, dtype=np.float64)[None], exemplars)  # (exemplars,)
    best = int(np.argmin(distances))
    distance = float(distances[best])
    margin = float(distances[owners != owners[best]].min()) - distance
    name = NAMES[owners[best]] if distance <= REJECT_DISTANCE else "unknown"
    return Named(name, distance, margin, lab)


def difference(lab: Lab, colour: str) -> float:
    """CIEDE2000 between a colour and a HEX colour such as `#1f77b4`."""
    wanted = np.array(list(bytes.fromhex(colour[1:])), dtype=np.float64)[None, None] / 255
    return float(deltaE_ciede2000(np.asarray(lab, dtype=np.float64), rgb2lab(wanted)[0, 0]))


@lru_cache(maxsize=1)
def _table() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Owner index (exemplars,) and Lab (exemplars, 3) of every exemplar."""
    owners = [index for index, codes in enumerate(EXEMPLARS.values()) for _ in codes]
    rgb = [list(bytes.fromhex(code)) for codes in EXEMPLARS.values() for code in codes]
    return np.array(owners), np.asarray(rgb2lab(np.array(rgb, dtype=np.float64)[None] / 255)[0])
