"""Results with real resolved recipes and small pictures; no engine is needed to test what keeps them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.engine.events import Result
from workbench.recipe import Adapter, Recipe, ResolvedRecipe

MakeResult = Callable[..., Result]


def make_result(
    seed: int = 0, prompt: str = "a red circle", *, size: int = 64, adapters: tuple[Adapter, ...] = ()
) -> Result:
    recipe = Recipe(
        model="tiny", prompt=prompt, seed=seed, width=size, height=size, steps=4, guidance_scale=2.0,
        max_sequence_length=32, precision="float32", adapters=adapters,
    )  # fmt: skip
    resolved = ResolvedRecipe(recipe=recipe, weights="ab" * 32, adapter_weights=tuple("cd" * 32 for _ in adapters))
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return Result(
        index=0,
        recipe=recipe,
        resolved=resolved,
        picture=Image.fromarray(pixels),
        seconds={"load": 9.0, "text": 0.5, "denoise": 1.0, "decode": 0.5},
        peak_bytes=123,
        environment={"device": "cpu"},
        fallbacks=("tiled VAE",),
        warnings=("The prompt is long.",),
    )


@pytest.fixture(name="make_result", scope="session")
def _make_result() -> MakeResult:
    return make_result


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder that the process may read but not write, also where the tests run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("folders have no permission bits here")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)
