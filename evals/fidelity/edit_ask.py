"""What a suite's row says about an edit: which part changes, and into what."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evals.adherence.asks import AskError, Place

Kind = Literal["recolour", "remove", "move", "add", "replace", "background", "resize", "write", "region"]
MOST_PIXELS = 64 * 2**20  # of a mask


class Part(BaseModel):
    """An object by its class, and by its colour where two have the same class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Annotated[str, Field(alias="class")] = ""
    colour: str = ""


class Result(BaseModel):
    """What the changed part becomes; a field that is empty stays as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Annotated[str, Field(alias="class")] = ""
    colour: str = Field(default="", description="A name, or a HEX code.")
    place: Literal["", "left", "right", "top", "bottom"] = ""
    size: Literal["", "larger", "smaller"] = ""
    relation: Place | None = None
    of: str = Field(default="", description="Class of the object that `relation` is meant from.")
    text: str = ""


class EditAsk(BaseModel):
    """One edit. Pictures without objects to name say with a box or a mask where they may change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    changed: Part = Part()
    to: Result = Result()
    box: tuple[float, float, float, float] | None = Field(default=None, description="Fractions of the sides.")
    mask: str = Field(default="", description="A PNG in base64, white where the picture may change.")


def read_edit(ask: Mapping[str, Any]) -> EditAsk | None:
    """The edit that a row asks for; None where it asks for none.

    Raises:
        AskError: it is malformed.
    """
    if not ask.get("edit"):
        return None
    try:
        edit = EditAsk.model_validate(ask["edit"])
    except ValidationError as error:
        first = error.errors()[0]
        raise AskError(
            f"The row's edit cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}.",
            'Write {"kind": "recolour", "changed": {"class": "circle"}, "to": {"colour": "blue"}}.',
        ) from None
    if edit.kind == "region" and not (edit.box or edit.mask):
        raise AskError("An edit of the kind region needs a box or a mask.")
    return edit


def region_of(edit: EditAsk, width: int, height: int) -> np.ndarray:
    """The pixels (height, width) that a box or a mask lets change.

    Raises:
        AskError: the mask is no picture or has another size, or nothing or everything may change.
    """
    region = np.zeros((height, width), dtype=bool)
    if edit.mask:
        try:
            with Image.open(io.BytesIO(base64.b64decode(edit.mask, validate=True)), formats=["PNG"]) as picture:
                if picture.width * picture.height > MOST_PIXELS or picture.size != (width, height):
                    raise AskError(f"The mask is {picture.width}x{picture.height}, the picture {width}x{height}.")
                region = np.asarray(picture.convert("L")) >= 128
        except (OSError, ValueError, binascii.Error) as error:
            raise AskError(f"The edit's mask is no PNG in base64: {error}.") from None
    elif edit.box:
        left, top, right, bottom = edit.box
        region[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    if not region.any() or region.all():
        raise AskError("The edit's region is empty or the whole picture.", "Give fractions of the sides, 0 to 1.")
    return region
