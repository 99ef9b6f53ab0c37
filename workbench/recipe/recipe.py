"""A picture is a pure function of a recipe: everything that decides the pixels, and nothing else.

`Recipe` is what a person writes: most fields may stay empty. `resolve` fills every default from the model's family row
and brings recipes that must give the same pixels to one form, so that they share one SHA-256 digest, and with it one
picture. Field descriptions carry unit, range and default; command-line help, forms and docs are made from them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.errors import RecipeError
from workbench.recipe.approximate import Cache, fill_cache
from workbench.recipe.block_weights import spread
from workbench.recipe.conditions import Margins, PictureName, Reference, References, Sigmas, Task, fill
from workbench.recipe.controls import ControlType, Variation, Variations, companions_of, fill_controls
from workbench.recipe.known import Catalog, Precision, Quantisation
from workbench.recipe.layout import Box, Boxes, Region, Regions, fill_layout
from workbench.recipe.numbers import check_size, fill_guidance, steps_of, upsampler_of
from workbench.recipe.solvers import Sampler, Spacing, fill_solver, with_version
from workbench.recipe.text import dump_yaml, explain, load_text

DEFAULT_MODEL = "klein-nano-base"
_LATER = (  # fields that came after the first
    *("references", "image", "strength", "mask", "margins", "shift", "sigmas"),
    *("true_cfg_scale", "quantisation", "control", "control_type", "redux"),
    *("regions", "boxes", "decode_tile", "cache", "sampler", "schedule", "prompt_upsampler"),
)


class Adapter(BaseModel):
    """One LoRA on top of the model's transformer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Adapter name in the catalog, or the path of a .safetensors file.")
    weight: float = Field(default=1.0, ge=-10, le=10, allow_inf_nan=False, description="Weight, -10 to 10; 0 is off.")
    blocks: dict[str, float] = Field(
        default={}, description="Multipliers of the weight for single blocks, such as double.0-3: 0.5; others count 1."
    )

    @field_validator("blocks")
    @classmethod
    def _known_blocks(cls, blocks: dict[str, float]) -> dict[str, float]:
        return spread(blocks)

    def __hash__(self) -> int:
        return hash((self.name, self.weight, tuple(self.blocks.items())))


_PARTS: dict[str, type[BaseModel]] = {
    "adapters": Adapter, "references": Reference, "redux": Variation, "regions": Region, "boxes": Box,
}  # fmt: skip


class Recipe(BaseModel):
    """All that decides the pixels, as a person writes it. None means the model's own default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default=DEFAULT_MODEL, min_length=1, description="Model name in the catalog.")
    task: Task | None = Field(default=None, description="What the model is asked to do; empty: told by the fields.")
    prompt: str = Field(default="", description="What to show.")
    prompt_upsampler: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][\w.-]*$",
        max_length=200,
        description="Folder of a model that writes the caption from the prompt, such as flux-3-image-klein-pup "
        "(FLUX.3); empty: the prompt as it is.",
    )
    negative_prompt: str = Field(
        default="", description="What to steer away from; used where guidance is real (base models)."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of the initial noise, 0 to 2^63 - 1.")
    width: int | None = Field(default=None, ge=16, description="Width in pixels, a multiple of 16; empty: the model's.")
    height: int | None = Field(
        default=None, ge=16, description="Height in pixels, a multiple of 16; empty: the model's."
    )
    steps: int | None = Field(
        default=None, ge=1, le=1000, description="Denoising steps, 1 to 1000; empty: the model's."
    )
    guidance_scale: float | None = Field(
        default=None, ge=0, le=100, allow_inf_nan=False, description="Guidance scale, 0 to 100; 1 or less is off."
    )
    true_cfg_scale: float | None = Field(
        default=None,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="Scale of a second pass with the negative prompt, 0 to 100, for models whose guidance scale is an "
        "input (FLUX.1); 1 or less is off.",
    )
    shift: float | None = Field(
        default=None,
        ge=0.01,
        le=100,
        allow_inf_nan=False,
        description="Time shift of the noise levels, 0.01 to 100; above 1 more steps are noisy; empty: the model's.",
    )
    sigmas: Sigmas | None = Field(
        default=None, description="Noise levels before the shift, falling, above 0 to 1, one a step; empty: even."
    )
    schedule: Spacing | None = Field(
        default=None, description="Spacing of the noise levels: karras, exponential or beta; empty: the model's."
    )
    sampler: Sampler | None = Field(
        default=None, description="Solver of the steps: euler, heun (two passes a step) or dpmpp-2m; empty: euler."
    )
    max_sequence_length: int | None = Field(
        default=None, ge=8, le=8192, description="Text tokens read, padding included; empty: the model's."
    )
    precision: Precision | None = Field(default=None, description="Arithmetic of the transformer; empty: the device's.")
    quantisation: Quantisation | None = Field(
        default=None,
        description="Keep the transformer's blocks in fewer bits: int8, fp8 or nf4, with +text also the text encoders'; "
        "empty: as they are.",
    )
    cache: Cache = Field(
        default=None,
        description="Approximate mode that leaves out a part of the steps' work: taylorseer, magcache or first_block, "
        "with parameters such as taylorseer:interval=4; the picture changes. Empty or none: exact.",
    )
    adapters: tuple[Adapter, ...] = Field(default=(), description="LoRA adapters with their weights.")
    references: References = Field(
        default=(), description="Pictures that the model looks at, in order, 1 to 10: paths, or digests of inputs."
    )
    image: PictureName | None = Field(
        default=None, description="Picture to start from: a path, or the digest of an input."
    )
    strength: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much of the image is drawn anew, 0 to 1; empty: 0.6, or 1 with a mask or margins.",
    )
    mask: PictureName | None = Field(
        default=None, description="Where to draw anew: a picture of the image's size, white = repaint, grey = blend."
    )
    margins: Margins | None = Field(
        default=None, description="Pixels to add around the image: left,top,right,bottom, 0 to 8192 each."
    )
    control: PictureName | None = Field(
        default=None, description="Picture whose edges or depth the result follows: a path, or the digest of an input."
    )
    control_type: ControlType | None = Field(
        default=None, description="What is taken from the control picture: canny, depth, or map if it is one already."
    )
    redux: Variations = Field(
        default=(), description="Pictures to vary and mix, 1 to 8, with weights: paths, or digests of inputs."
    )
    regions: Regions = Field(
        default=(),
        description="Parts with prompts of their own, 1 to 8: 'left,top,right,bottom: prompt', sides 0 to 1.",
    )
    boxes: Boxes = Field(
        default=(), description="Things that the prompt cites as <id>: 'id: left,top,right,bottom: looks' (FLUX.3)."
    )
    decode_tile: int | None = Field(
        default=None, ge=64, le=4096, description="Decode in tiles of this side, 64 to 4096 pixels; empty: whole."
    )

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _printable(cls, text: str) -> str:
        if "\x00" in text:
            raise ValueError("text holds a NUL character")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("text holds half a character (a lone surrogate)")
        return text

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build a recipe from untrusted `values`.

        Raises:
            RecipeError: an unknown field (with the nearest right name) or a value out of range.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise explain(error, cls, _PARTS) from None

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read a recipe from YAML (or JSON, which is YAML).

        Raises:
            RecipeError: the text is no mapping, or a field is wrong.
        """
        try:
            values = load_text(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"The recipe is not valid YAML: {' '.join(str(error).split())}.") from None
        if not isinstance(values, dict):
            raise RecipeError("A recipe is a mapping of fields.", "Write lines such as 'prompt: a red circle'.")
        return cls.parse(values)

    def to_yaml(self) -> str:
        """The recipe as YAML, without fields that are at their default."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return dump_yaml({"model": self.model} | values)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated like a new recipe.

        Raises:
            RecipeError: as `parse`.
        """
        return self.parse({name: getattr(self, name) for name in type(self).model_fields} | changes)

    def to_python(self) -> str:
        """Python source that makes this recipe: what 'show as code' shows."""
        fields = [f"    {name}={getattr(self, name)!r}," for name in type(self).model_fields if name in self._changed()]
        return "\n".join(["Recipe(", *fields, ")"])

    def _changed(self) -> set[str]:
        return set(self.model_dump(exclude_defaults=True)) | {"model", "prompt", "seed"}


class ResolvedRecipe(BaseModel):
    """A recipe with every default filled, in the one form shared by all recipes that give the same pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Annotated[Recipe, Field(description="All fields filled and canonical.")]
    weights: str = Field(description="SHA-256 over the model's files.")
    adapter_weights: tuple[str, ...] = Field(default=(), description="SHA-256 of each adapter file, in order.")
    companions: dict[str, str] = Field(default={}, description="SHA-256 of each further model used, by name.")

    @property
    def canonical_json(self) -> str:
        """Sorted, compact JSON of what decides the pixels: files by content, never by name."""
        values = self.recipe.model_dump(mode="json")
        del values["model"]
        values["weights"] = self.weights
        values["adapters"] = [
            {"weights": weights, "weight": adapter.weight} | ({"blocks": adapter.blocks} if adapter.blocks else {})
            for weights, adapter in zip(self.adapter_weights, self.recipe.adapters, strict=True)
        ]
        values["format"] = 1
        if self.companions:
            values["companions"] = sorted(self.companions.values())
        for name in ("sampler", "schedule"):
            values[name] = values[name] and with_version(values[name])
        for name in _LATER:  # what is not given is not told, as in the recipes of earlier versions
            if not values[name] and values[name] != 0:
                del values[name]
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def digest(self) -> str:
        """SHA-256 of `canonical_json`, 64 hexadecimal digits: the picture's name everywhere."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()


def resolve(recipe: Recipe, catalog: Catalog) -> ResolvedRecipe:
    """Fill every default and bring the recipe to canonical form.

    Guidance that cannot act (a step-distilled model, a scale of 1 or less) becomes 1 and its negative prompt empty, as
    `Flux2KleinPipeline.do_classifier_free_guidance` decides; where the guidance scale is an input of the transformer it
    always acts, and the negative prompt acts with `true_cfg_scale`. Adapters of weight 0 vanish.

    Args:
        recipe: what a person wrote.
        catalog: finds the model and its adapters.

    Raises:
        ModelError: unknown model or adapter.
        InputError: a reference, image or mask that is missing or cannot be used.
        RecipeError: a size that the model cannot draw, a task that it cannot do, fields that contradict each other.
    """
    model = catalog.model(recipe.model)
    guidance, cfg, guided = fill_guidance(recipe, model)
    adapters = tuple(adapter for adapter in recipe.adapters if adapter.weight != 0)
    conditions = fill_controls(recipe, model, catalog) | fill(recipe, model, catalog)
    full = recipe.replace(
        model=model.name,
        width=conditions.pop("width", recipe.width) or model.width,
        height=conditions.pop("height", recipe.height) or model.height,
        steps=steps_of(recipe) or model.steps,
        guidance_scale=guidance,
        true_cfg_scale=cfg,
        negative_prompt=recipe.negative_prompt if guided else "",
        max_sequence_length=recipe.max_sequence_length or model.max_sequence_length,
        precision=recipe.precision or model.precision,
        adapters=adapters,
        **conditions,
    )
    assert full.width is not None  # filled above
    assert full.height is not None
    check_size(full.width, full.height, model)
    layout = fill_layout(full, model, catalog)
    if full.prompt_upsampler is not None:  # it reads request and boxes apart, and writes the table itself
        layout |= {"prompt": full.prompt, "boxes": full.boxes}
    full = full.replace(**layout, cache=fill_cache(full, model), **fill_solver(full, model))
    fingerprints = tuple(catalog.adapter_fingerprint(adapter.name) for adapter in adapters)
    further = (*companions_of(full), *upsampler_of(full, model))
    companions = {name: catalog.companion_fingerprint(name) for name in further}
    return ResolvedRecipe(recipe=full, weights=model.fingerprint, adapter_weights=fingerprints, companions=companions)
