"""An upscaler's weights on a device, and a picture through them in tiles that leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from workbench.engine.tiles import spans
from workbench.errors import Cancelled
from workbench.models.inputs import MAX_PIXELS
from workbench.upscale.layout import UpscaleError, identify
from workbench.upscale.networks import build

TILE = 256  # pixels of the input; on two cores larger is no faster
MIN_TILE = 16

Progress = Callable[[int, int], None]


class Upscaler:
    """One network with its weights, in float32.

    Args:
        path: a safetensors file.
        device: 'cpu', 'cuda' and so on.

    Raises:
        ModelError: a pickle or a damaged file.
        UpscaleError: not a known upscaler, or weights that are not finite.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.layout = identify(path)
        self.device = torch.device(device)
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise UpscaleError(f"{str(path)!r} cannot be read: {error}.", "Download or copy the file again.") from None
        self.network = build(self.layout)
        weights = {ours: tensors[theirs].float() for ours, theirs in self.layout.names.items()}
        if bad := sorted(name for name, value in weights.items() if not bool(torch.isfinite(value).all())):
            raise UpscaleError(f"The tensor {bad[0]} of {str(path)!r} is not finite.", "Download the file again.")
        self.network.load_state_dict(weights, assign=True)
        self.network.requires_grad_(requires_grad=False).eval().to(self.device)

    @property
    def scale(self) -> int:
        """Output side over input side."""
        return self.layout.scale

    @torch.inference_mode()
    def __call__(
        self,
        picture: Image.Image,
        *,
        tile: int | None = TILE,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Image.Image:
        """The picture, `scale` times as wide and high.

        Args:
            picture: RGB.
            tile: side of the tiles in pixels of the input, 16 or more; None: none. It changes memory and time, and no
                pixel beyond the last bit of the arithmetic.
            progress: told how many of how many tiles are done.
            cancelled: asked before every tile.

        Raises:
            UpscaleError: a tile that is too small, a result that is too large, numbers that are not finite.
            Cancelled: `cancelled` said so.
        """
        if tile is not None and tile < MIN_TILE:
            raise UpscaleError(f"Tiles of {tile} pixels are too small.", f"Use {MIN_TILE} or more.")
        width, height = picture.size
        if width * height * self.scale**2 > MAX_PIXELS:
            raise UpscaleError(
                f"{width} x {height} pixels times {self.scale} is {width * height * self.scale**2 / 1e6:.0f} megapixels.",
                f"The result has at most {MAX_PIXELS / 1e6:.0f}: begin with a smaller picture.",
            )
        values = torch.from_numpy(np.array(picture.convert("RGB"), np.float32) / 255.0)  # (H, W, 3)
        value = values.permute(2, 0, 1)[None].to(self.device)  # (1, 3, H, W)
        multiple = self.layout.unshuffle
        value = F.pad(value, (0, -width % multiple, 0, -height % multiple), mode="reflect")
        run = _Tiles(tile, self.network.parts, progress, cancelled)
        out = self.network(value, run)[0, :, : height * self.scale, : width * self.scale]
        if not bool(torch.isfinite(out).all()):
            raise UpscaleError("The upscaler gave pixels that are not finite.", "Use another upscaler.")
        return Image.fromarray((out.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())


class _Tiles:
    """Runs the parts of a network tile by tile."""

    def __init__(self, tile: int | None, parts: int, progress: Progress | None, cancelled: Callable[[], bool]) -> None:
        self._tile, self._parts, self._progress, self._cancelled = tile, parts, progress, cancelled
        self._done = 0

    def __call__(self, part: Callable[[Tensor], Tensor], value: Tensor, *, radius: int, scale: int = 1) -> Tensor:
        height, width = value.shape[2:]
        side = self._tile or max(height, width)
        # Without overlap: neighbouring tiles read the same margin, each writes its own place.
        places = [(down, across) for down in _cells(height, side) for across in _cells(width, side)]
        out: Tensor | None = None
        for (top, bottom), (left, right) in places:
            if self._cancelled():
                raise Cancelled("The upscaling was stopped.", "Nothing was written; run it again.")
            above, before = max(0, top - radius), max(0, left - radius)
            seen = value[:, :, above : min(height, bottom + radius), before : min(width, right + radius)]
            answer = part(seen)
            if out is None:
                shape = (1, answer.shape[1], height * scale, width * scale)
                out = answer if len(places) == 1 else answer.new_empty(shape)
            if len(places) > 1:
                inner = answer[:, :, (top - above) * scale :, (left - before) * scale :]
                out[:, :, top * scale : bottom * scale, left * scale : right * scale] = inner[
                    :, :, : (bottom - top) * scale, : (right - left) * scale
                ]
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._parts * len(places))
        assert out is not None  # a picture has at least one tile
        return out


def _cells(length: int, side: int) -> list[tuple[int, int]]:
    """The axis in cells of at most `side`, of nearly equal length."""
    count = len(spans(length, side, 0))
    edges = [round(length * place / count) for place in range(count + 1)]
    return list(pairwise(edges))
