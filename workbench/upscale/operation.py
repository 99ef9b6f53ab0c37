"""What is asked of an upscaling, and the one form that two equal requests share. No torch.

An upscaling is an operation on a picture and no field of the recipe that drew it: it works on every picture, also on a
photograph; one drawing can be enlarged in several ways without being drawn again; and the digests of recipes stay what
they are. It has a digest of its own over all that decides its pixels, and its file says how to make it again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import nearest
from workbench.models.catalog import ModelCatalog
from workbench.models.inputs import MAX_PIXELS, Input
from workbench.recipe import Adapter, Recipe, ResolvedRecipe, resolve
from workbench.recipe.conditions import PictureName
from workbench.upscale.layout import MAX_SCALE, UpscaleError, identify

LANCZOS = "lanczos"
"""The name of resampling without a network: the baseline."""

_SHARE = 4  # of a tile's side that neighbours share at least: a quarter


class Refine(BaseModel):
    """A pass of a FLUX model over overlapping tiles, each drawn anew a little."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1, description="Model name in the catalog.")
    prompt: str = Field(default="", description="What the picture shows; every tile is drawn with it.")
    negative_prompt: str = Field(default="", description="What to steer away from, where guidance is real.")
    strength: float = Field(
        default=0.3, gt=0, lt=1, allow_inf_nan=False, description="How much of a tile is drawn anew, above 0, below 1."
    )
    steps: int | None = Field(default=None, ge=1, le=1000, description="Steps of the schedule; empty: the model's.")
    guidance_scale: float | None = Field(
        default=None, ge=0, le=100, allow_inf_nan=False, description="Guidance scale; empty: the model's."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="From which every tile has a seed of its own.")
    tile: int | None = Field(default=None, ge=64, description="Side of a tile in pixels; empty: the model's width.")
    overlap: int | None = Field(
        default=None, ge=0, description="Pixels that neighbouring tiles share at least; empty: a quarter of a tile."
    )
    adapters: tuple[Adapter, ...] = Field(default=(), description="LoRA adapters with their weights.")

    def recipe(self) -> Recipe:
        """What all tiles share."""
        return Recipe(**self.model_dump(exclude={"tile", "overlap", "strength", "seed"}))


class Upscale(BaseModel):
    """One picture made larger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: PictureName = Field(description="Path of a picture, or the digest of one that is kept.")
    upscaler: str = Field(
        default=LANCZOS,
        min_length=1,
        description="lanczos, a name in the folder upscalers of the home, or the path of a .safetensors file.",
    )
    scale: float | None = Field(
        default=None,
        ge=1,
        le=MAX_SCALE,
        allow_inf_nan=False,
        description=f"Side of the result over side of the picture, 1 to {MAX_SCALE}; empty: the upscaler's, 2 for lanczos.",
    )
    refine: Refine | None = Field(default=None, description="A pass of a FLUX model over the enlarged picture.")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build a request from untrusted `values`.

        Raises:
            UpscaleError: an unknown field (with the nearest right name) or a value out of range.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            fields = Refine.model_fields if where.startswith("refine.") else cls.model_fields
            if first["type"] == "extra_forbidden":
                raise UpscaleError(
                    f"An upscaling has no field {where!r}.", nearest(str(first["loc"][-1]), fields)
                ) from None
            field = fields.get(str(first["loc"][-1]))
            hint = field.description or "" if field else ""
            raise UpscaleError(
                f"The field {where!r} cannot be {first['input']!r}: {first['msg'].lower()}.", hint
            ) from None


class ResolvedUpscale(BaseModel):
    """A request with every default filled: equal ones give equal pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: Upscale  # the picture by digest, scale, tile and overlap filled
    weights: str  # SHA-256 of the upscaler's file; empty for lanczos
    width: int  # of the result, in pixels
    height: int
    network_scale: int  # of the upscaler; 1 for lanczos
    refined: ResolvedRecipe | None  # what all tiles share, for an empty canvas of a tile's size

    @property
    def canonical_json(self) -> str:
        """Sorted, compact JSON of what decides the pixels: files by content, never by name."""
        values: dict[str, Any] = {
            "operation": "upscale",
            "format": 1,
            "picture": self.request.picture,
            "width": self.width,
            "height": self.height,
            "upscaler": self.weights or LANCZOS,
        }
        if self.request.refine is not None and self.refined is not None:
            own = self.request.refine.model_dump(include={"strength", "seed", "tile", "overlap"})
            values["refine"] = own | {"recipe": json.loads(self.refined.canonical_json)}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def digest(self) -> str:
        """SHA-256 of `canonical_json`, 64 hexadecimal digits: the name of the result."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()


def upscalers(home: Path) -> list[str]:
    """Names of the upscalers in `home/upscalers`, `lanczos` first."""
    return [LANCZOS, *sorted(path.stem for path in (Path(home) / "upscalers").glob("*.safetensors"))]


def upscaler_path(home: Path, name: str) -> Path:
    """The file of the upscaler called `name`, or `name` itself when it is the path of one.

    Raises:
        UpscaleError: there is none.
    """
    own = Path(home) / "upscalers" / f"{name}.safetensors"
    if Path(name).name == name and own.is_file():
        return own
    path = Path(name).expanduser()
    if not path.is_file():
        raise UpscaleError(
            f"There is no upscaler {name!r}.",
            f"{nearest(name, upscalers(home))} Put a .safetensors file into {own.parent}, or give its path.",
        )
    return path


def resolve_upscale(request: Upscale, catalog: ModelCatalog) -> ResolvedUpscale:
    """Fill every default and find every file.

    Raises:
        UpscaleError: an unknown upscaler, a scale beyond it, a result that is too large, tiles that cannot be drawn.
        ModelError: a file that cannot be read, an unknown model or adapter.
        InputError: the picture is missing or cannot be used.
        RecipeError: a refine pass that its model cannot do.
    """
    picture = catalog.picture(request.picture)
    weights, network_scale = "", 1
    if request.upscaler != LANCZOS:
        path = upscaler_path(catalog.home, request.upscaler)
        network_scale = identify(path).scale
        weights = catalog.adapter_fingerprint(str(path))
    scale = request.scale or (network_scale if weights else 2)
    if weights and scale > network_scale:
        raise UpscaleError(
            f"The scale {scale:g} is more than that of the upscaler {request.upscaler!r}, {network_scale}.",
            f"Use {network_scale} or less, and enlarge the result again if need be.",
        )
    width, height = round(picture.width * scale), round(picture.height * scale)
    _check_size(picture, width, height, network_scale)
    refine, refined = request.refine, None
    if refine is not None:
        refine, refined = _resolve_refine(refine, catalog, width, height)
    full = request.model_copy(update={"picture": picture.digest, "scale": float(scale), "refine": refine})
    return ResolvedUpscale(
        request=full, weights=weights, width=width, height=height, network_scale=network_scale, refined=refined
    )


def _check_size(picture: Input, width: int, height: int, network_scale: int) -> None:
    area = max(width * height, picture.width * picture.height * network_scale**2)
    if area > MAX_PIXELS:
        raise UpscaleError(
            f"{picture.width} x {picture.height} pixels become {area / 1e6:.0f} megapixels on the way.",
            f"Stay within {MAX_PIXELS / 1e6:.0f} megapixels: begin with a smaller picture, or enlarge it less.",
        )


def _resolve_refine(refine: Refine, catalog: ModelCatalog, width: int, height: int) -> tuple[Refine, ResolvedRecipe]:
    """The pass with tile and overlap filled, and the recipe that its tiles share."""
    model = catalog.model(refine.model)
    if "image-to-image" not in model.tasks:
        raise UpscaleError(f"{model.name} cannot start from a picture, so it cannot refine one.", "Use another model.")
    multiple = model.size_multiple
    tile = refine.tile or model.width
    shared = tile // _SHARE if refine.overlap is None else refine.overlap
    if shared >= tile:
        raise UpscaleError(f"Tiles of {tile} pixels cannot share {shared}.", "Use an overlap below the tile's side.")
    # A picture that is smaller than a tile is one tile, brought to whole tokens.
    sides = (min(tile, -(-side // multiple) * multiple) for side in (width, height))
    refined = resolve(refine.recipe().replace(**dict(zip(("width", "height"), sides, strict=True))), catalog)
    assert refined.recipe.steps is not None  # filled by resolve
    if int(refined.recipe.steps * refine.strength) < 1:
        raise UpscaleError(
            f"A strength of {refine.strength:g} leaves none of {refined.recipe.steps} steps, so nothing would be refined.",
            f"Use {1 / refined.recipe.steps:.2g} or more, or more steps.",
        )
    return refine.model_copy(update={"tile": tile, "overlap": shared}), refined
