"""The pictures that an edit starts from: files beside the suite, or scenes that are drawn when they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evals.suite import Prompt, Suite, SuiteError
from workbench.errors import StoreError

MOST_BYTES = 64 * 2**20  # of a reference file


def open_references(suite: Suite, prompt: Prompt) -> tuple[Image.Image, ...]:
    """The references of a row, RGB, in order.

    A reference is a path, relative to the suite's file, or a scene:
    {"background": colour, "items": [{"shape", "colour", "x", "y", "radius", "text"?}], "width"?, "height"?} with
    fractions of the sides, drawn at 128 px unless said.

    Raises:
        SuiteError: a file is missing or no picture, or a scene cannot be drawn.
    """
    return tuple(_open(suite, prompt, each) for each in prompt.references)


def _open(suite: Suite, prompt: Prompt, reference: str | dict[str, Any]) -> Image.Image:
    if isinstance(reference, dict):
        return _draw(prompt, reference)
    path = Path(suite.folder) / reference
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SuiteError(f"The reference {reference!r} of {prompt.id!r} has more than {MOST_BYTES // 2**20} MiB.")
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, StoreError, Image.DecompressionBombError) as error:
        raise SuiteError(
            f"The reference {reference!r} of the prompt {prompt.id!r} cannot be opened: {error}.",
            "Put the file beside the suite, under the path that the suite names.",
        ) from None


def _draw(prompt: Prompt, scene: dict[str, Any]) -> Image.Image:
    from workbench.nano.render import render
    from workbench.nano.scenes import Item, Scene

    try:
        items = tuple(Item(**({"text": ""} | each)) for each in scene["items"])
        drawn = render(
            Scene("edit", scene["background"], items, prompt.prompt), scene.get("width", 128), scene.get("height")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SuiteError(f"The scene of the prompt {prompt.id!r} cannot be drawn: {error}.") from None
    return Image.fromarray(np.asarray(drawn))
