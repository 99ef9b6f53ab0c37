"""What a FLUX.1 recipe may give besides: a control picture, and pictures for Redux; checked and made canonical."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from workbench.errors import InputError, RecipeError
from workbench.recipe.conditions import PictureName

if TYPE_CHECKING:
    from workbench.recipe.conditions import PictureFacts
    from workbench.recipe.known import Catalog, Defaults
    from workbench.recipe.recipe import Recipe

ControlType = Literal["canny", "depth", "map"]

MAX_VARIATIONS = 8
REDUX, DEPTH = "FLUX.1-Redux-dev", "Depth-Anything-V2-Small-hf"
"""Names of the companion models that a recipe may need, as folders in the workbench's `models`."""


class Variation(BaseModel):
    """One picture whose content and style Redux mixes in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: PictureName = Field(description="Path of a picture, or the digest of one that was given before.")
    weight: float | None = Field(
        default=None, ge=-10, le=10, allow_inf_nan=False, description="Weight, -10 to 10; empty: equal shares of 1."
    )


def as_variations(value: object) -> object:
    """One picture for a list of one, and a path for a picture without weight."""
    if isinstance(value, str | Path | dict | Variation):
        value = (value,)
    if isinstance(value, Sequence):
        return tuple({"picture": str(part)} if isinstance(part, str | Path) else part for part in value)
    return value


Variations = Annotated[tuple[Variation, ...], BeforeValidator(as_variations), Field(max_length=MAX_VARIATIONS)]


def fill_controls(recipe: Recipe, model: Defaults, catalog: Catalog) -> dict[str, Any]:
    """Fields of the canonical form that have to do with control and Redux.

    Raises:
        InputError: a picture that is missing or cannot be used.
        RecipeError: fields that contradict each other.
    """
    if recipe.control is None and recipe.control_type is not None:
        raise RecipeError(
            f"The recipe has the control type {recipe.control_type!r} but no control picture.", "Give it as `control`."
        )
    if recipe.control is not None and recipe.control_type is None:
        raise RecipeError(
            f"The recipe does not say what {model.name} is to take from the control picture.",
            f"Set control_type to one of: {', '.join(get_args(ControlType))} (map: the picture is one already).",
        )
    if recipe.control is not None and recipe.references:
        raise RecipeError(
            "A control picture cannot be combined with references.",
            "Give one of them, in steps if need be; an image, a mask and margins go with a control picture.",
        )
    filled: dict[str, Any] = {"redux": _variations(recipe, catalog)}
    if recipe.control is not None:
        picture = _picture(catalog, recipe.control, "control picture")
        filled["control"] = picture.digest
        if not (recipe.width or recipe.height):
            filled["width"], filled["height"] = model.reference_size(picture.width, picture.height)
    return filled


def companions_of(recipe: Recipe) -> tuple[str, ...]:
    """Names of the further models that a recipe needs."""
    return (*((REDUX,) if recipe.redux else ()), *((DEPTH,) if recipe.control_type == "depth" else ()))


def _variations(recipe: Recipe, catalog: Catalog) -> tuple[Variation, ...]:
    share = 1.0 / max(1, len(recipe.redux))
    return tuple(
        Variation(
            picture=_picture(catalog, each.picture, "Redux picture").digest,
            weight=share if each.weight is None else each.weight,
        )
        for each in recipe.redux
    )


def _picture(catalog: Catalog, name: str, field: str) -> PictureFacts:
    try:
        return catalog.picture(name)
    except InputError as error:
        raise InputError(f"The {field} cannot be used. {error.message}", error.remedy) from None
