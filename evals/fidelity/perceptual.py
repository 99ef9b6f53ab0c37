"""LPIPS, the learned perceptual distance of Zhang et al. 2018 over AlexNet: the scorer `lpips`.

The published weights are pickled, so they are taken from one safetensors file; docs/adherence.md says how to write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from evals.adherence.batch import score_each
from evals.adherence.weights import fingerprint_file, pick_device
from evals.fidelity.pixels import same_size
from evals.scoring import Metric, Sample, Score, ScorerError, register

if TYPE_CHECKING:
    import torch

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in -1 to 1
CONVOLUTIONS = ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))  # number in AlexNet's features, stride, padding
SLICES = (1, 2, 3, 4, 5)  # the slice of the lpips package that holds each of them
POOLED = (3, 6)  # convolutions with a maximum over 3x3 at every second place before them
LEAST_SIDE = 32  # pixels, below which nothing is left after AlexNet's poolings


class Lpips:
    """AlexNet up to its fifth convolution, and one weight for every channel of every layer.

    Args:
        path: a safetensors file with AlexNet's tensors as `features.N.weight` (torchvision) or `net.sliceK.N.weight` (the
            lpips package), and the heads as `linK.model.1.weight` for K from 0 to 4.
        device: torch device.

    Raises:
        ScorerError: the file cannot be read, or a tensor is missing.
    """

    def __init__(self, path: str | Path, *, device: str | None = None) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors: dict[str, torch.Tensor] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ScorerError(f"The file {str(path)!r} cannot be read as safetensors: {error}.") from None
        device = pick_device(device)

        def take(*names: str) -> torch.Tensor:
            for name in names:
                if name in tensors:
                    return tensors[name].float().to(device)
            raise ScorerError(
                f"The file {str(path)!r} has no tensor {names[0]!r}.", "docs/adherence.md says how to write the file."
            )

        self._layers = [
            tuple(take(f"features.{number}.{part}", f"net.slice{piece}.{number}.{part}") for part in ("weight", "bias"))
            for (number, _, _), piece in zip(CONVOLUTIONS, SLICES, strict=True)
        ]
        self._heads = [take(f"lin{index}.model.1.weight") for index in range(len(CONVOLUTIONS))]
        self._device = device

    def distance(self, first: Image.Image, second: Image.Image) -> float:
        """0 for equal pictures; about 0.1 looks alike, 0.5 does not.

        Raises:
            AskError: the sizes differ.
            ValueError: a side is below 32 pixels.
        """
        import torch

        pair = np.stack(same_size(first, second))  # (2, h, w, 3)
        if min(pair.shape[1:3]) < LEAST_SIDE:
            raise ValueError(f"LPIPS needs pictures of at least {LEAST_SIDE} pixels")
        with torch.inference_mode():
            x = torch.from_numpy(pair).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
            return float(sum(float(head) for head in self._layerwise(x)))

    def _layerwise(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The distance of the two pictures (2, 3, h, w) in each layer."""
        import torch
        from torch.nn.functional import conv2d, max_pool2d, relu

        shift, scale = (torch.tensor(each, device=x.device).view(1, 3, 1, 1) for each in (SHIFT, SCALE))
        x = (x - shift) / scale
        found = []
        for (number, stride, padding), (weight, bias), head in zip(
            CONVOLUTIONS, self._layers, self._heads, strict=True
        ):
            if number in POOLED:
                x = max_pool2d(x, kernel_size=3, stride=2)
            x = relu(conv2d(x, weight, bias, stride=stride, padding=padding))  # (2, c, h, w)
            unit = x / torch.sqrt(1e-8 + (x**2).sum(dim=1, keepdim=True))
            found.append(conv2d((unit[:1] - unit[1:]) ** 2, head).mean())
        return found


@register("lpips", "learned perceptual distance to the picture an edit started from (needs a weights file)")
class LpipsScorer:
    """LPIPS to the first reference; no value where there is none.

    Args:
        weights: the safetensors file; see `Lpips`.
        device: torch device.

    Raises:
        ScorerError: no file is given, or it cannot be used.
    """

    name = "lpips"
    reads = ("references",)
    metrics: tuple[Metric, ...] = (Metric("lpips", "lower", high=None, source="Zhang et al. 2018, LPIPS 0.1, AlexNet"),)

    def __init__(self, weights: str | Path | None = None, *, device: str | None = None) -> None:
        if weights is None or not Path(weights).is_file():
            where = "" if weights is None else f"; there is no file {str(weights)!r}"
            raise ScorerError(
                f"LPIPS needs AlexNet and its heads in one safetensors file{where}.",
                "docs/adherence.md says how to write it; give its path as the option weights.",
            )
        self._path, self._device = Path(weights), device
        self.version = f"1-{fingerprint_file(self._path)}"

    @cached_property
    def _net(self) -> Lpips:
        return Lpips(self._path, device=self._device)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample."""
        return score_each(samples, lambda part: [self._one(sample) for sample in part], batch=1)

    def _one(self, sample: Sample) -> Score:
        values: dict[str, Any] = {"lpips": None}
        if sample.references:
            values["lpips"] = self._net.distance(sample.picture, sample.references[0])
        return Score(values)
