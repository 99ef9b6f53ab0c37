"""The networks, written so that each part can run on tiles and give the same numbers as on the whole picture.

A network passes every part through `through`, with the number of pixels that the part looks beyond its own place. Run
on tiles that are larger by as much and cut back, the parts are exact; since a part is short, the margin is small, where
tiling the network as a whole would need its whole field of view (349 pixels for ESRGAN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.upscale.layout import Layout

_SLOPE = 0.2  # of the leaky ReLU
_RESIDUAL = 0.2  # share of a dense block's answer; Wang et al. 2018, section 3.1
_CHAIN = 8  # convolutions of the compact network that run as one part


class Through(Protocol):
    """Applies a part of a network."""

    def __call__(self, part: Callable[[Tensor], Tensor], value: Tensor, *, radius: int, scale: int = 1) -> Tensor:
        """`part(value)`; `radius` is how many pixels of `value` it looks beyond its place, `scale` how much it grows."""
        ...


def whole(part: Callable[[Tensor], Tensor], value: Tensor, *, radius: int, scale: int = 1) -> Tensor:  # noqa: ARG001
    """The part on the whole picture."""
    return part(value)


class DenseBlock(nn.Module):
    """Five convolutions, each reading all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for place in range(1, 5):
            setattr(self, f"conv{place}", _conv(features + (place - 1) * growth, growth))
        self.conv5 = _conv(features + 4 * growth, features)

    def forward(self, value: Tensor) -> Tensor:
        """(1, C, H, W) to the same."""
        seen = value
        for place in range(1, 5):
            seen = torch.cat([seen, F.leaky_relu(getattr(self, f"conv{place}")(seen), _SLOPE)], dim=1)
        return cast("Tensor", value + _RESIDUAL * self.conv5(seen))


class DenseBlocks(nn.Module):
    """Three dense blocks with a residual around them (RRDB)."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, value: Tensor) -> Tensor:
        """(1, C, H, W) to the same."""
        return cast("Tensor", value + _RESIDUAL * self.rdb3(self.rdb2(self.rdb1(value))))


class RRDBNet(nn.Module):
    """ESRGAN's generator. Source: Wang et al. 2018 (arXiv 1809.00219), figures 3 and 4; 2021 (arXiv 2107.10833)."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        width = layout.features
        self._layout = layout
        self.conv_first = _conv(3 * layout.unshuffle**2, width)
        self.body = nn.ModuleList(DenseBlocks(width, layout.growth) for _ in range(layout.blocks))
        self.conv_body = _conv(width, width)
        for place in range(1, layout.doublings + 1):
            setattr(self, f"conv_up{place}", _conv(width, width))
        self.conv_hr, self.conv_last = _conv(width, width), _conv(width, 3)

    @property
    def parts(self) -> int:
        """How often `forward` calls `through`."""
        return self._layout.blocks + 3

    def forward(self, value: Tensor, through: Through = whole) -> Tensor:
        """(1, 3, H, W), 0 to 1, to (1, 3, scale H, scale W); sides are multiples of `unshuffle`."""
        first = through(self.conv_first, F.pixel_unshuffle(value, self._layout.unshuffle), radius=1)
        body = first
        for block in self.body:
            body = through(block, body, radius=15)  # 3 dense blocks of 5 convolutions
        body = through(self.conv_body, body, radius=1).add_(first)
        # Convolutions on finer grids look less far: 1/2 + 1/4 + ... + 2/2^n pixels, at most 2.
        return through(self._enlarge, body, radius=2, scale=2**self._layout.doublings)

    def _enlarge(self, value: Tensor) -> Tensor:
        for place in range(1, self._layout.doublings + 1):
            doubled = F.interpolate(value, scale_factor=2, mode="nearest")
            value = F.leaky_relu(getattr(self, f"conv_up{place}")(doubled), _SLOPE)
        return cast("Tensor", self.conv_last(F.leaky_relu(self.conv_hr(value), _SLOPE)))


class Compact(nn.Module):
    """The compact network of Real-ESRGAN: convolutions at the small size, one pixel shuffle, added to the input."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        width = layout.features
        layers: list[nn.Module] = [_conv(3, width), nn.PReLU(width)]
        for _ in range(layout.blocks):
            layers += [_conv(width, width), nn.PReLU(width)]
        self.body = nn.ModuleList([*layers, _conv(width, 3 * layout.scale**2)])
        self._scale = layout.scale

    @property
    def parts(self) -> int:
        """How often `forward` calls `through`."""
        return -(-(len(self.body) // 2) // _CHAIN) + 1

    def forward(self, value: Tensor, through: Through = whole) -> Tensor:
        """(1, 3, H, W), 0 to 1, to (1, 3, scale H, scale W)."""
        out = value
        layers = list(self.body)[:-1]
        for start in range(0, len(layers), 2 * _CHAIN):
            chain = nn.Sequential(*layers[start : start + 2 * _CHAIN])
            out = through(chain, out, radius=len(chain) // 2)
        out = through(self._shuffle, out, radius=1, scale=self._scale)
        return out.add_(F.interpolate(value, scale_factor=self._scale, mode="nearest"))

    def _shuffle(self, value: Tensor) -> Tensor:
        return F.pixel_shuffle(self.body[-1](value), self._scale)


def build(layout: Layout) -> RRDBNet | Compact:
    """The network of a layout, with weights that are not set."""
    with torch.device("meta"):
        return RRDBNet(layout) if layout.network == "rrdb" else Compact(layout)


def _conv(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1)
