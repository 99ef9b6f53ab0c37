"""Open a picture file together with the prompt that it should show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from evals.scenes.prompt import PromptError
from workbench.store.png import read_picture


def open_picture(path: Path, prompt: str | None = None) -> tuple[Image.Image, str]:
    """The picture, and `prompt` or the one kept in the file's metadata.

    Raises:
        StoreError: the file cannot be read or is no picture.
        PromptError: no prompt was given and the file keeps none.
    """
    picture, metadata = read_picture(path)
    if prompt is not None:
        return picture, prompt
    recipe: Any = metadata.get("recipe")
    kept = recipe.get("prompt") if isinstance(recipe, dict) else None
    if not isinstance(kept, str) or not kept:
        raise PromptError(f"The picture {str(path)!r} does not say what it should show.", "Give --prompt.")
    return picture, kept
