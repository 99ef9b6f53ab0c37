"""Pictures before and after the model: resizing, margins, soft masks, and putting back what is to stay. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from workbench.models.inputs import Inputs
from workbench.models.model import Model
from workbench.recipe import Recipe
from workbench.recipe.conditions import shrink

Levels = NDArray[np.uint8]


def read_at(picture: Image.Image, width: int, height: int, model: Model) -> Image.Image:
    """A reference at the size of its recipe.

    At the fitted size it is prepared as the family's pipeline does. FLUX.2: above the family's area scaled down to it
    (which may change its ratio by a pixel), then cropped about its centre. Kontext: stretched to the nearest of the
    sizes that it was trained on. For any other size see `cover`.

    Args:
        picture: RGB.
        width: wanted, in pixels.
        height: wanted, in pixels.
        model: which is to see it.
    """
    if picture.size == (width, height) or model.reference_size(*picture.size) != (width, height):
        return cover(picture, width, height)
    if model.family.reference_sizes:
        return picture.resize((width, height), Image.Resampling.LANCZOS)
    small = shrink(*picture.size, model.reference_pixels)
    if small != picture.size:
        picture = picture.resize(small, Image.Resampling.LANCZOS)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def cover(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture scaled (Lanczos) to cover the size and cropped about its centre."""
    if picture.size == (width, height):
        return picture
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)


def canvas(recipe: Recipe, inputs: Inputs) -> Image.Image:
    """The image of a resolved recipe at the recipe's size: with its margins, which repeat its edges, or scaled."""
    assert recipe.image is not None
    assert recipe.width is not None  # filled by resolve
    assert recipe.height is not None
    picture = inputs.open(recipe.image)
    if recipe.margins is not None:
        left, top, right, bottom = recipe.margins
        wide = np.pad(np.asarray(picture), ((top, bottom), (left, right), (0, 0)), mode="edge")
        return Image.fromarray(wide)
    return cover(picture, recipe.width, recipe.height)


def mask_levels(recipe: Recipe, inputs: Inputs) -> Levels:
    """How far each pixel of a masked recipe is drawn anew: uint8 (height, width), 0 stays, 255 is new; margins are new.

    Without a mask the whole image stays.
    """
    left, top, right, bottom = recipe.margins or (0, 0, 0, 0)
    if recipe.mask is not None:
        inside = np.asarray(inputs.open(recipe.mask))
    else:
        assert recipe.width is not None
        assert recipe.height is not None
        inside = np.zeros((recipe.height - top - bottom, recipe.width - left - right), np.uint8)
    return np.pad(inside, ((top, bottom), (left, right)), constant_values=255)


def paste_back(new: Image.Image, old: Image.Image, levels: Levels) -> Image.Image:
    """`new` where the level is 255, `old` where it is 0, bit for bit, and a rounded blend between."""
    share = levels.astype(np.uint32)[..., None]
    mixed = np.asarray(new, np.uint32) * share + np.asarray(old, np.uint32) * (255 - share)
    return Image.fromarray(((mixed + 127) // 255).astype(np.uint8))
