"""Control pictures: edges and depth of a picture, as the FLUX.1 control models were trained on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from workbench.engine.canvas import cover
from workbench.errors import ControlError
from workbench.recipe.controls import ControlType

SIGMA, LOW, HIGH = 1.0, 0.1, 0.2  # of Canny's detector: width of the blur in pixels, thresholds of the gradient


def control_map(picture: Image.Image, kind: ControlType, width: int, height: int, depth: Any = None) -> Image.Image:
    """The map that a control model sees, RGB at the size given.

    Args:
        picture: RGB, of any size; scaled to cover the size and cropped.
        kind: canny, depth, or map for a picture that is one already.
        width: of the result, in pixels.
        height: of the result, in pixels.
        depth: the loaded estimator, from `workbench.models.companions.load_depth`; for depth only.
    """
    picture = cover(picture, width, height)
    if kind == "canny":
        return edges(picture)
    return depths(picture, depth) if kind == "depth" else picture


def edges(picture: Image.Image) -> Image.Image:
    """White edges on black, found by the detector of Canny 1986, as scikit-image has it.

    Raises:
        ControlError: scikit-image is not installed.
    """
    try:
        from skimage.feature import canny
    except ImportError:
        raise ControlError("Edges cannot be found without scikit-image.", "pip install scikit-image") from None
    grey = np.asarray(picture.convert("L"), dtype=np.float64) / 255.0
    found = canny(grey, sigma=SIGMA, low_threshold=LOW, high_threshold=HIGH)
    return Image.fromarray(found.astype(np.uint8) * 255).convert("RGB")


@torch.no_grad()
def depths(picture: Image.Image, estimator: dict[str, Any]) -> Image.Image:
    """Depth as grey levels, near is white, stretched to the full range of the picture."""
    model, processor = estimator["depth"], estimator["processor"]
    device = next(model.parameters()).device
    values = processor(images=picture, return_tensors="pt")["pixel_values"].to(device)
    depth = model(pixel_values=values).predicted_depth[None].float()  # (1, 1, height, width) at the estimator's size
    size = (picture.height, picture.width)
    depth = torch.nn.functional.interpolate(depth, size=size, mode="bicubic", align_corners=False)[0, 0]
    low, high = depth.min(), depth.max()
    unit = (depth - low) / (high - low).clamp(min=1e-6)
    return Image.fromarray((unit * 255).round().to(torch.uint8).cpu().numpy()).convert("RGB")
