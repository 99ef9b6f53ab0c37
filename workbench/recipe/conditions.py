"""What a recipe gives besides text: references, a picture to start from, a mask, margins; checked and made canonical.

Pictures are named by path or by digest; a resolved recipe holds digests only, and every reference states the size at
which the transformer sees it. The sizes follow `Flux2KleinPipeline`, so that "fit" means what diffusers does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from workbench.errors import InputError, RecipeError

if TYPE_CHECKING:
    from workbench.recipe.known import Catalog, Defaults
    from workbench.recipe.recipe import Recipe

Task = Literal["text-to-image", "image-to-image", "inpaint", "outpaint", "edit", "control", "variation"]

ABLE: Mapping[Task, str] = MappingProxyType({"control": "flux1-control", "variation": "flux1-dev"})
"""A family that does the task, for remedies; of every other task `flux2-klein`."""

MAX_REFERENCES = 10
MIN_SIDE = 64  # pixels of a reference; what `Flux2ImageProcessor.check_image_input` refuses
MAX_RATIO = 8  # longer side over shorter side of a reference; the same check
SIDES = ("left", "top", "right", "bottom")  # the order of margins
STRENGTH = 0.6  # of a picture to picture run that states none
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


PictureName = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=4096)]


class PictureFacts(Protocol):
    """What is known of an input picture."""

    @property
    def digest(self) -> str:
        """SHA-256 of its pixels."""
        ...

    @property
    def width(self) -> int:
        """Pixels."""
        ...

    @property
    def height(self) -> int:
        """Pixels."""
        ...


class Reference(BaseModel):
    """One picture that the model looks at while it draws."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: PictureName = Field(description="Path of a picture, or the digest of one that was given before.")
    size: str = Field(
        default="fit",
        pattern=rf"^(fit|exact|{_SIZE.pattern})$",
        description="fit: as the pipeline resizes it; exact: as it is; or WIDTHxHEIGHT in pixels, resized and cropped.",
    )

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height at which the transformer sees it; of a resolved reference only."""
        match = _SIZE.fullmatch(self.size)
        assert match is not None  # resolve states the size
        return int(match[1]), int(match[2])


def as_references(value: object) -> object:
    """One reference for a list of one, and a path for a reference of default size."""
    if isinstance(value, str | Path | dict | Reference):
        value = (value,)
    if isinstance(value, Sequence):
        return tuple({"picture": str(part)} if isinstance(part, str | Path) else part for part in value)
    return value


def as_margins(value: object) -> object:
    """Margins from text such as '0,0,64,0'."""
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(",")) if value.strip() else None
    if isinstance(value, Sequence) and len(value) != 4:
        raise ValueError("write four numbers: left,top,right,bottom")
    return value


def as_sigmas(value: object) -> object:
    """Noise levels from text such as '1, 0.75, 0.5'."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _falling(sigmas: tuple[float, ...]) -> tuple[float, ...]:
    if any(second >= first for first, second in pairwise(sigmas)):
        raise ValueError("every noise level is below the one before")
    return sigmas


Sigma = Annotated[float, Field(gt=0, le=1)]
Sigmas = Annotated[
    tuple[Sigma, ...], BeforeValidator(as_sigmas), AfterValidator(_falling), Field(min_length=1, max_length=1000)
]
Pixels = Annotated[int, Field(ge=0, le=8192)]
Margins = Annotated[tuple[Pixels, Pixels, Pixels, Pixels], BeforeValidator(as_margins)]
References = Annotated[tuple[Reference, ...], BeforeValidator(as_references), Field(max_length=MAX_REFERENCES)]


def first_step(steps: int, strength: float) -> int:
    """How many of `steps` are left out at the start. Source: `get_timesteps` of diffusers' image-to-image pipelines."""
    return int(max(steps - min(steps * strength, steps), 0))


def fit(width: int, height: int, max_pixels: int, multiple: int) -> tuple[int, int]:
    """The size at which `Flux2KleinPipeline` reads a picture: at most `max_pixels`, sides cut to a multiple.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        max_pixels: area above which it is scaled down.
        multiple: of what both sides are, in pixels.
    """
    width, height = shrink(width, height, max_pixels)
    return width // multiple * multiple, height // multiple * multiple


def shrink(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """The size scaled down to `max_pixels` where it is larger, as `Flux2ImageProcessor._resize_to_target_area`."""
    if width * height <= max_pixels:
        return width, height
    scale = math.sqrt(max_pixels / (width * height))
    return int(width * scale), int(height * scale)


def fill(recipe: Recipe, model: Defaults, catalog: Catalog) -> dict[str, Any]:
    """Fields of the canonical form that have to do with pictures: references, image, strength, mask, margins, task, size.

    Strength 1 without a mask leaves nothing of the image, so the image vanishes; margins of 0 vanish.

    Raises:
        InputError: a picture that is missing or cannot be used.
        RecipeError: fields that contradict each other, or a task that the model cannot do.
    """
    margins = recipe.margins if recipe.margins and any(recipe.margins) else None
    if recipe.image is None:
        for name, value in (("mask", recipe.mask), ("strength", recipe.strength), ("margins", margins)):
            if value is not None:
                raise RecipeError(
                    f"The recipe has {name} {_short(value)} but no image.",
                    f"Give the image that the {name} is about, or leave the {name} out.",
                )
    asked = task_of(recipe)
    if recipe.task not in (None, asked):
        raise RecipeError(
            f"The task is {recipe.task!r}, but the recipe's fields say {asked!r}.",
            "Leave the task out, or give the fields that it needs: references, image, mask or margins.",
        )
    _check_able(asked, recipe, model)
    filled: dict[str, Any] = {"task": asked, "margins": margins, "references": _references(recipe, model, catalog)}
    if recipe.image is None:
        return filled
    image = _picture(catalog, recipe.image, "image")
    filled |= {"image": image.digest, "strength": recipe.strength}
    if recipe.mask is None and margins is None:
        filled["width"], filled["height"] = _size_from(image, recipe, model)
        filled["strength"] = STRENGTH if recipe.strength is None else recipe.strength
        if filled["strength"] == 1 and recipe.sigmas is None:  # even levels begin with noise alone
            filled |= {"image": None, "strength": None, "task": task_of(recipe.replace(image=None, strength=None))}
        return filled
    filled["strength"] = 1.0 if recipe.strength is None else recipe.strength
    if recipe.mask is not None:
        mask = _picture(catalog, recipe.mask, "mask", mask=True)
        if (mask.width, mask.height) != (image.width, image.height):
            raise InputError(
                f"The mask {_short(recipe.mask)} has {mask.width} x {mask.height} pixels, the image "
                f"{image.width} x {image.height}.",
                "Draw the mask at the size of the image; margins are added to both.",
            )
        filled["mask"] = mask.digest
    filled["width"], filled["height"] = _canvas_size(image, margins, recipe, model)
    return filled


def _check_able(asked: Task, recipe: Recipe, model: Defaults) -> None:
    """Refuse what the model cannot do, with the name of a family that can."""
    given: dict[Task, object] = {"edit": recipe.references, "control": recipe.control, "variation": recipe.redux}
    for task in (asked, *(task for task, field in given.items() if field)):
        if task not in model.tasks:
            raise RecipeError(
                f"{model.name} cannot do {task}.",
                f"It does: {', '.join(model.tasks)}. A model of the family {ABLE.get(task, 'flux2-klein')} can.",
            )
    if recipe.control is None and "control" in model.tasks and "text-to-image" not in model.tasks:
        raise RecipeError(
            f"{model.name} draws along a control picture, and the recipe has none.",
            "Give it as `control`, with its control_type; or use a model of the family flux2-klein.",
        )


def task_of(recipe: Recipe) -> Task:
    """What the recipe's fields ask for."""
    if recipe.margins is not None and any(recipe.margins):
        return "outpaint"
    if recipe.mask is not None:
        return "inpaint"
    if recipe.image is not None:
        return "image-to-image"
    if recipe.control is not None:
        return "control"
    if recipe.redux:
        return "variation"
    return "edit" if recipe.references else "text-to-image"


def _references(recipe: Recipe, model: Defaults, catalog: Catalog) -> tuple[Reference, ...]:
    if len(recipe.references) > model.max_references:
        raise RecipeError(
            f"The recipe has {len(recipe.references)} references, more than {model.name} takes.",
            f"Give at most {model.max_references}.",
        )
    alone = len(recipe.references) == 1
    return tuple(_reference(reference, model, catalog, alone=alone) for reference in recipe.references)


def _reference(reference: Reference, model: Defaults, catalog: Catalog, *, alone: bool) -> Reference:
    """The reference by its digest, with the size at which it is read."""
    picture = _picture(catalog, reference.picture, "reference")
    name, width, height = _short(reference.picture), picture.width, picture.height
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_RATIO * min(width, height):
        raise InputError(
            f"The reference {name} has {width} x {height} pixels.",
            f"References have sides of at least {MIN_SIDE} pixels, the longer at most {MAX_RATIO} times the shorter.",
        )
    multiple = model.size_multiple
    if reference.size == "fit":
        width, height = model.reference_size(width, height, alone=alone)
    elif reference.size != "exact":
        width, height = reference.pixels
    if width % multiple or height % multiple or min(width, height) < MIN_SIDE or width * height > model.max_pixels:
        raise InputError(
            f"The reference {name} cannot be read at {width} x {height} pixels.",
            f"Sides are multiples of {multiple}, at least {MIN_SIDE}, and the area is at most "
            f"{model.max_pixels / 1e6:.2f} megapixels; or use the size 'fit'.",
        )
    return Reference(picture=picture.digest, size=f"{width}x{height}")


def _size_from(image: PictureFacts, recipe: Recipe, model: Defaults) -> tuple[int, int]:
    """Width and height of a picture made from `image`: as asked, the missing one by the image's ratio."""
    multiple = model.size_multiple
    if recipe.width and recipe.height:
        return recipe.width, recipe.height
    if recipe.width:
        return recipe.width, max(multiple, round(recipe.width * image.height / image.width / multiple) * multiple)
    if recipe.height:
        return max(multiple, round(recipe.height * image.width / image.height / multiple) * multiple), recipe.height
    return fit(image.width, image.height, model.max_pixels, multiple)


def _canvas_size(
    image: PictureFacts, margins: tuple[int, int, int, int] | None, recipe: Recipe, model: Defaults
) -> tuple[int, int]:
    """Width and height of the image with its margins, which a masked picture keeps to the pixel."""
    left, top, right, bottom = margins or (0, 0, 0, 0)
    sizes = {"width": image.width + left + right, "height": image.height + top + bottom}
    for name, size in sizes.items():
        asked: int | None = getattr(recipe, name)
        if asked not in (None, size):
            raise RecipeError(
                f"The {name} {asked} is not that of the image with its margins, {size} pixels.",
                f"Leave the {name} out: pixels outside the mask are kept as they are.",
            )
        if rest := size % model.size_multiple:
            raise InputError(
                f"The {name} of the image with its margins is {size} pixels, not a multiple of {model.size_multiple}.",
                f"Crop the image by {rest} pixels, or add margins of {model.size_multiple - rest} pixels.",
            )
    return sizes["width"], sizes["height"]


def _picture(catalog: Catalog, name: str, field: str, *, mask: bool = False) -> PictureFacts:
    try:
        return catalog.picture(name, mask=mask)
    except InputError as error:
        raise InputError(f"The {field} cannot be used. {error.message}", error.remedy) from None


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}" if re.fullmatch(r"[0-9a-f]{64}", text) else repr(value)
