"""Is this picture what its file says it is? Two checks: the pixels against their recorded hash, and made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import ModelError, StoreError
from workbench.recipe import Recipe, ResolvedRecipe, resolve
from workbench.recipe.approximate import parse
from workbench.store import pixel_sha256, read_picture

if TYPE_CHECKING:
    from workbench.session import Session

TOLERANCE = 1  # levels of 255


@dataclass(frozen=True, slots=True)
class Verification:
    """What the two checks found."""

    path: Path
    digest: str  # of the recipe in the file
    intact: bool  # the file's pixels are, bit for bit, those that were saved
    max_difference: int  # between the file's pixels and those made again, in levels of 255
    changed_pixels: int  # how many pixels differ by more than TOLERANCE
    cache: str | None  # the approximate cache it was drawn with; None: exact
    made_on: dict[str, str]  # environment of the file
    checked_on: dict[str, str]  # environment of this check

    @property
    def equal(self) -> bool:
        """Whether the picture made again is the same, up to `TOLERANCE`."""
        return self.max_difference <= TOLERANCE

    @property
    def ok(self) -> bool:
        """Whether both checks passed."""
        return self.intact and self.equal

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        verdict = "The same picture" if self.ok else "NOT the same picture"
        made = f" It is approximate, drawn with the cache {parse(self.cache).short}." if self.cache else ""
        edited = "" if self.intact else " The pixels were changed after the file was written."
        return f"{verdict}: the largest difference is {self.max_difference} of 255 levels.{edited}{made}"


def verify(path: Path, session: Session) -> Verification:
    """Check a picture's pixels against the hash in its file, and against the picture made again from its recipe.

    The first check is exact: one changed pixel is found. The second allows one level of 255, because a picture that was
    made inside a batch may differ by one level from the same picture made alone (float32); lower precision or another
    device may differ by more, and then the environments in the result tell why.

    Args:
        path: a PNG that the workbench wrote.
        session: makes the picture again; its store is not asked and not changed.

    Raises:
        StoreError: no such file, not a picture, or not one with our metadata.
        ModelError: the model or an adapter is not here, or here with other weights.
        GenerationError: the picture cannot be made again.
    """
    picture, metadata = read_picture(path)
    recipe, recorded = _claims(path, metadata)
    recipe, resolved = _resolved(recipe, metadata, session)
    _same_weights(path, resolved, metadata)
    if resolved.digest != recorded:
        raise StoreError(
            f"The recipe in {str(path)!r} has digest {resolved.digest[:12]}, but the file claims {recorded[:12]}.",
            "The metadata was changed after the picture was made; use another copy of the file.",
        )
    (result,) = session.engine.run([recipe])
    if result.error is not None:
        raise result.error
    assert result.picture is not None  # a result without an error has one
    shown, made = np.asarray(picture, np.int16), np.asarray(result.picture, np.int16)  # (h, w, 3)
    if shown.shape == made.shape:
        difference = np.abs(shown - made).max(axis=2)  # (h, w)
    else:
        difference = np.full(shown.shape[:2], 255, np.int16)
    return Verification(
        path=path,
        digest=recorded,
        intact=pixel_sha256(picture) == metadata["pixels"],
        max_difference=int(difference.max()),
        changed_pixels=int((difference > TOLERANCE).sum()),
        cache=recipe.cache,
        made_on=dict(metadata.get("environment") or {}),
        checked_on=dict(result.environment),
    )


def _resolved(recipe: Recipe, metadata: dict[str, Any], session: Session) -> tuple[Recipe, ResolvedRecipe]:
    """What is to be drawn, and the recipe as its digest tells it; without its prompt upsampler by the recorded caption."""
    caption = metadata.get("caption")
    if recipe.prompt_upsampler is None or not isinstance(caption, str) or not caption:
        return recipe, resolve(recipe, session.catalog)
    plain = recipe.replace(prompt=caption, boxes=(), prompt_upsampler=None)
    drawn = resolve(plain, session.catalog)
    return plain, drawn.model_copy(update={"recipe": recipe, "companions": metadata.get("companions") or {}})


def _claims(path: Path, metadata: dict[str, Any]) -> tuple[Recipe, str]:
    """Recipe and digest as the file states them."""
    if metadata.get("operation") == "upscale":
        raise StoreError(
            f"{str(path)!r} was enlarged, not drawn from a recipe.",
            "`workbench upscale --again` makes it again; the picture it was made from can be verified.",
        )
    recipe, digest = metadata.get("recipe"), metadata.get("digest")
    if not (isinstance(recipe, dict) and isinstance(digest, str) and isinstance(metadata.get("pixels"), str)):
        raise StoreError(
            f"{str(path)!r} does not say how it was made.",
            "Only PNG files written by the workbench, with their text chunks, can be verified.",
        )
    return Recipe.parse(recipe), digest


def _same_weights(path: Path, resolved: ResolvedRecipe, metadata: dict[str, Any]) -> None:
    pairs = [(f"model {resolved.recipe.model!r}", resolved.weights, metadata.get("weights"))]
    adapters = metadata.get("adapter_weights")
    adapters = adapters if isinstance(adapters, list) else []
    recorded = [*adapters, *[None] * (len(resolved.adapter_weights) - len(adapters))]
    for adapter, here, there in zip(resolved.recipe.adapters, resolved.adapter_weights, recorded, strict=False):
        pairs.append((f"adapter {adapter.name!r}", here, there))
    for name, here, there in pairs:
        if here != there:
            raise ModelError(
                f"{str(path)!r} was made with other weights of {name}: {str(there)[:12]} then, {here[:12]} here.",
                "Install the version of the weights that made the picture.",
            )
