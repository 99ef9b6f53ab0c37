"""Where things are in a picture: prompts of regions, and boxes that a table behind the prompt places. No torch.

Fractions run from 0 to 1, left to right and top to bottom, so a layout holds for every size. Both fields have a line
form, `left,top,right,bottom: text`, which the command line and the panel use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from workbench.errors import InputError, RecipeError
from workbench.recipe.conditions import PictureName

if TYPE_CHECKING:
    from workbench.recipe.known import Catalog, Defaults
    from workbench.recipe.recipe import Recipe

MAX_REGIONS = 8
MAX_BOXES = 64
GRID = 1000  # steps of the axes in the table that FLUX.3 reads
_NUMBER = r"\s*(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*"
_LINE = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{3}}):\s*(.*)", re.DOTALL)
_NAMED = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*:(.*)", re.DOTALL)


def as_frame(value: object) -> object:
    """A frame from text such as '0, 0, 0.5, 1'."""
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(","))
    if isinstance(value, Sequence) and len(value) != 4:
        raise ValueError("write four numbers: left,top,right,bottom")
    return value


def _inside(frame: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = frame
    if left >= right or top >= bottom:
        raise ValueError("left is less than right, and top less than bottom")
    return frame


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Frame = Annotated[tuple[Share, Share, Share, Share], BeforeValidator(as_frame), AfterValidator(_inside)]


class Region(BaseModel):
    """A part of the picture with a prompt of its own: a frame or a mask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = Field(description="What this part shows.")
    box: Frame | None = Field(default=None, description="left,top,right,bottom, each 0 to 1.")
    mask: PictureName | None = Field(
        default=None, description="A picture, scaled to the recipe's size, white where the region is."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.box is None) == (self.mask is None):
            raise ValueError("a region has either a box or a mask")
        return self

    def __str__(self) -> str:
        if "\n" in self.prompt or ": " in (self.mask or ""):
            return self.model_dump_json(exclude_none=True)
        return f"{self.mask or _in_words(self.box)}: {self.prompt}"


class Box(BaseModel):
    """A thing that the prompt cites as <id>, and where it is; for models that read a table of boxes (FLUX.3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="Name that the prompt cites as <id>, such as cat_1."
    )
    desc: str = Field(default="", description="What it looks like, without its place.")
    box: Frame = Field(description="left,top,right,bottom in the result, each 0 to 1.")
    source: str | None = Field(
        default=None,
        pattern=r"^(target|ref_image_\d+)$",
        description="ref_image_0 and so on, or target for what is new.",
    )
    source_box: Frame | None = Field(default=None, description="Where it is in the reference that it comes from.")

    @model_validator(mode="after")
    def _source_fits(self) -> Self:
        if (self.source_box is not None) != (self.source is not None and self.source != "target"):
            raise ValueError("what comes from a reference has a source_box, and nothing else has one")
        return self

    def row(self) -> dict[str, Any]:
        """Its row in the table, corners from the top, on a grid of 1000. Source: `boxes_to_canvas` of diffusers."""
        if self.source is None:
            return {"id": self.id, "bbox": _on_grid(self.box), "desc": self.desc}
        source = None if self.source_box is None else _on_grid(self.source_box)
        moved = {"id": self.id, "from": self.source, "src_bbox": source, "tgt_bbox": _on_grid(self.box)}
        return moved | {"desc": self.desc}

    def __str__(self) -> str:
        if self.source is not None or "\n" in self.desc:
            return self.model_dump_json(exclude_none=True)
        return f"{self.id}: {_in_words(self.box)}: {self.desc}"


def as_regions(value: object) -> object:
    """One region for a list of one, and lines such as '0,0,0.5,1: a red circle' or 'mask.png: a red circle'."""
    return tuple(_region(part) if isinstance(part, str) else part for part in _parts(value))


def as_boxes(value: object) -> object:
    """One box for a list of one, and lines such as 'cat_1: 0,0,0.5,1: a black cat'."""
    return tuple(_box(part) if isinstance(part, str) else part for part in _parts(value))


def _parts(value: object) -> Sequence[object]:
    if isinstance(value, str):
        return [line for line in value.splitlines() if line.strip()]
    return (value,) if isinstance(value, dict | BaseModel) else value  # type: ignore[return-value]  # pydantic checks it


def _in_words(frame: tuple[float, float, float, float] | None) -> str:
    return ",".join(f"{side:g}" if float(f"{side:g}") == side else repr(side) for side in frame or ())


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        raise ValueError("it begins as JSON but is none") from None


def _region(line: str) -> Any:
    if line.lstrip().startswith("{"):
        return _json(line)
    if match := _LINE.fullmatch(line.strip()):
        return {"box": match[1], "prompt": match[2].strip()}
    mask, colon, prompt = line.partition(": ")
    if not colon or not mask.strip("0123456789., "):
        raise ValueError("write left,top,right,bottom: prompt, or MASK.png: prompt")
    return {"mask": mask.strip(), "prompt": prompt.strip()}


def _box(line: str) -> Any:
    if line.lstrip().startswith("{"):
        return _json(line)
    named = _NAMED.fullmatch(line)
    placed = _LINE.fullmatch(named[2].strip()) if named else None
    if not named or not placed:
        raise ValueError("write id: left,top,right,bottom: what it looks like")
    return {"id": named[1], "box": placed[1], "desc": placed[2].strip()}


Regions = Annotated[tuple[Region, ...], BeforeValidator(as_regions), Field(max_length=MAX_REGIONS)]
Boxes = Annotated[tuple[Box, ...], BeforeValidator(as_boxes), Field(max_length=MAX_BOXES)]


def fill_layout(recipe: Recipe, model: Defaults, catalog: Catalog) -> dict[str, Any]:
    """Fields of the canonical form that have to do with places; of a recipe whose size is known.

    Boxes become a table behind the prompt, which is all that the model sees of them; one region that is the whole
    picture becomes the prompt; tiles as large as the picture vanish.

    Raises:
        InputError: a region's mask that is missing or cannot be used.
        RecipeError: a model that has no such thing, or a layout that contradicts itself.
    """
    filled: dict[str, Any] = {}
    if recipe.boxes:
        filled |= {"prompt": _with_table(recipe, model), "boxes": ()}
    if recipe.regions:
        filled |= _regions(recipe, model, catalog)
    tile, longer = recipe.decode_tile, max(recipe.width or 0, recipe.height or 0)
    if tile is not None and model.is_baseline:
        raise RecipeError(
            f"{model.name} is drawn by its stock pipeline, which takes no decode_tile here.", "Leave it out."
        )
    if tile is not None and tile % model.size_multiple:
        raise RecipeError(
            f"The decode_tile {tile} is not a multiple of {model.size_multiple} pixels.",
            f"Use {tile - tile % model.size_multiple + model.size_multiple}.",
        )
    return filled | {"decode_tile": None if tile is None or tile >= longer else tile}


def cells(box: tuple[float, float, float, float], rows: int, columns: int) -> tuple[int, int, int, int]:
    """Rows and columns whose middle is in a box: first row, end row, first column, end column."""
    left, top, right, bottom = box
    return round(top * rows), round(bottom * rows), round(left * columns), round(right * columns)


def _regions(recipe: Recipe, model: Defaults, catalog: Catalog) -> dict[str, Any]:
    if not model.regions:
        raise RecipeError(
            f"{model.name} takes no regions: its blocks cannot keep texts apart.",
            "Use a model of the families flux2-klein, flux2-dev, flux1-dev or flux3-klein.",
        )
    if recipe.redux:
        raise RecipeError(
            "Regions cannot be combined with Redux, whose pictures are words of the whole.",
            "Leave out the regions, or the Redux pictures.",
        )
    if len(recipe.regions) == 1 and recipe.regions[0].box == (0, 0, 1, 1):
        return {"prompt": recipe.regions[0].prompt, "regions": ()}
    rows, columns = ((side or 0) // model.size_multiple for side in (recipe.height, recipe.width))
    filled = []
    for number, region in enumerate(recipe.regions, start=1):
        if region.mask is not None:
            try:
                region = region.model_copy(update={"mask": catalog.picture(region.mask, mask=True).digest})  # noqa: PLW2901
            except InputError as error:
                message = f"The mask of region {number} cannot be used. {error.message}"
                raise InputError(message, error.remedy) from None
        elif region.box is not None:
            first_row, end_row, first, end = cells(region.box, rows, columns)
            if first_row == end_row or first == end:
                raise RecipeError(
                    f"Region {number} holds none of the {columns} x {rows} places of the picture.",
                    f"Make it larger: a place is {model.size_multiple} pixels wide and high.",
                )
        filled.append(region)
    return {"regions": tuple(filled)}


def _with_table(recipe: Recipe, model: Defaults) -> str:
    if not model.boxes:
        raise RecipeError(
            f"{model.name} reads no boxes.",
            "Use a model of the families flux3-klein or flux3-klein-base, or regions with FLUX.2.",
        )
    names = [box.id for box in recipe.boxes]
    if len(set(names)) < len(names):
        raise RecipeError("Two boxes have one id.", "Number them, such as cat_1 and cat_2.")
    if missing := [name for name in names if f"<{name}>" not in recipe.prompt]:
        raise RecipeError(
            f"The prompt does not cite the box {missing[0]}.", f"Write <{missing[0]}> behind the words that name it."
        )
    table = json.dumps([box.row() for box in recipe.boxes], ensure_ascii=False)
    return f"{recipe.prompt.rstrip()} {table}"


def _on_grid(frame: tuple[float, float, float, float]) -> list[int]:
    left, top, right, bottom = (round(side * GRID) for side in frame)
    return [top, left, bottom, right]
