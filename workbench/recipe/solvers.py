"""How a recipe walks down the noise levels: the solver of the steps, and the spacing of the levels. No torch here.

Euler on the model's own levels is what the models were published with; everything else is a choice. The digest names the
version of each choice, as it decides pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import RecipeError

if TYPE_CHECKING:
    from workbench.recipe.known import Defaults
    from workbench.recipe.recipe import Recipe

Sampler = Literal["euler", "heun", "dpmpp-2m"]
Spacing = Literal["karras", "exponential", "beta"]

VERSIONS: Mapping[str, int] = MappingProxyType({"heun": 1, "dpmpp-2m": 1, "karras": 1, "exponential": 1, "beta": 1})
"""Raised when the same name gives other pixels."""

PASSES: Mapping[str | None, int] = MappingProxyType({"heun": 2})
"""Passes of the transformer in a step, of samplers that need more than one."""


def fill_solver(recipe: Recipe, model: Defaults) -> dict[str, Any]:
    """Sampler and schedule in canonical form: None where they change nothing.

    With one step every sampler is Euler's; so is the first step and the last of dpmpp-2m, which looks back by one.

    Args:
        recipe: with its steps filled.
        model: what it is drawn with.

    Raises:
        RecipeError: a model that takes none, or fields that contradict each other.
    """
    sampler = None if recipe.sampler == "euler" else recipe.sampler
    for name, value in (("sampler", sampler), ("schedule", recipe.schedule)):
        if value is not None and model.is_baseline:
            raise RecipeError(
                f"{model.name} is drawn by its stock pipeline, which takes no {name} here.",
                "Leave it out, or use a FLUX model.",
            )
    if sampler is not None and model.jumps:
        raise RecipeError(
            f"{model.name} learned the jump of each step, so that the sampler {sampler} does not fit it.",
            "Leave the sampler out, or use flux-3-image-klein-base.",
        )
    if sampler in PASSES and recipe.cache is not None:
        raise RecipeError(
            f"The sampler {sampler} does two passes a step, which no cache of steps takes.",
            "Leave out the cache, or use the sampler dpmpp-2m.",
        )
    if recipe.schedule is not None and recipe.sigmas is not None:
        raise RecipeError(
            f"The recipe has sigmas and the schedule {recipe.schedule}, which would replace them.", "Give one of them."
        )
    steps = recipe.steps or 0  # filled by resolve
    if steps < (3 if sampler == "dpmpp-2m" else 2):
        sampler = None
    return {"sampler": sampler, "schedule": recipe.schedule if steps > 1 else None}


def with_version(name: str) -> str:
    """A sampler or schedule as the digest knows it."""
    return f"{name}/{VERSIONS[name]}"
