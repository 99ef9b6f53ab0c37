"""A recipe's guidance, steps, size and upsampler against what its model takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workbench.errors import RecipeError
from workbench.recipe.known import Defaults

if TYPE_CHECKING:
    from workbench.recipe.recipe import Recipe


def fill_guidance(recipe: Recipe, model: Defaults) -> tuple[float, float | None, bool]:
    """Guidance scale, true scale, and whether there is a second pass with the negative prompt.

    Raises:
        RecipeError: a true scale for a model that takes none.
    """
    guidance = model.guidance_scale if recipe.guidance_scale is None else float(recipe.guidance_scale)
    cfg = recipe.true_cfg_scale if recipe.true_cfg_scale is not None and recipe.true_cfg_scale > 1 else None
    if cfg is not None and not model.true_cfg:
        raise RecipeError(
            f"{model.name} takes no true_cfg_scale.",
            "Leave it out." if model.embeds_guidance else "Its guidance_scale is the scale of the second pass.",
        )
    if model.embeds_guidance or model.true_cfg:
        return guidance if model.embeds_guidance else 1.0, cfg, cfg is not None
    guided = guidance > 1 and not model.is_distilled
    return guidance if guided else 1.0, None, guided


def upsampler_of(recipe: Recipe, model: Defaults) -> tuple[str, ...]:
    """The model that writes the caption, where the recipe has one.

    Raises:
        RecipeError: the drawing model has no upsampler, or there is no prompt to write from.
    """
    if recipe.prompt_upsampler is None:
        return ()
    if not model.upsampler:
        raise RecipeError(
            f"{model.name} has no prompt upsampler.",
            "Leave prompt_upsampler out, or use a model of the families flux3-klein or flux3-klein-base.",
        )
    if not recipe.prompt.strip():
        raise RecipeError("The prompt is empty, and the upsampler writes from it.", "Say in a few words what to show.")
    return (recipe.prompt_upsampler,)


def steps_of(recipe: Recipe) -> int | None:
    """The number of steps, where the recipe says it: as such, or by its noise levels.

    Raises:
        RecipeError: the two contradict each other.
    """
    if recipe.sigmas is None:
        return recipe.steps
    if recipe.steps not in (None, len(recipe.sigmas)):
        raise RecipeError(
            f"The recipe has {recipe.steps} steps but {len(recipe.sigmas)} sigmas.", "Leave the steps out."
        )
    return len(recipe.sigmas)


def check_size(width: int, height: int, model: Defaults) -> None:
    """Refuse a size, in pixels, that the model does not draw, and name one that it does.

    Raises:
        RecipeError: a side or the area is not the model's.
    """
    for name, value in (("width", width), ("height", height)):
        if value % model.size_multiple:
            below = max(model.min_side, value - value % model.size_multiple)
            raise RecipeError(
                f"The {name} {value} is not a multiple of {model.size_multiple} pixels.",
                f"Use {below} or {value - value % model.size_multiple + model.size_multiple}.",
            )
        if not model.min_side <= value <= model.max_side:
            raise RecipeError(
                f"The {name} {value} is outside what {model.name} draws.",
                f"Use {model.min_side} to {model.max_side} pixels.",
            )
    if width * height > model.max_pixels:
        side = int(math.sqrt(model.max_pixels)) // model.size_multiple * model.size_multiple
        raise RecipeError(
            f"{width} x {height} is {width * height / 1e6:.2f} megapixels, more than {model.name} draws.",
            f"Stay within {model.max_pixels / 1e6:.2f} megapixels, for example {side} x {side}.",
        )
