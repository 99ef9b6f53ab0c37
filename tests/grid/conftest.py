"""Grid results made by hand: a small catalog and pictures of the scene renderer, so views are tested without a model."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest
from PIL import Image

from workbench.errors import GenerationError, ModelError
from workbench.grid import Grid
from workbench.grid.result import GridResult, Shot
from workbench.nano.render import render
from workbench.nano.scenes import sample_scene
from workbench.recipe import Precision
from workbench.recipe.conditions import Task, fit

Build = Callable[..., GridResult]


@dataclass(frozen=True)
class PaperModel:
    """A model's numbers without a model."""

    name: str = "klein-nano-base"
    fingerprint: str = "0" * 64
    width: int = 128
    height: int = 128
    steps: int = 28
    guidance_scale: float = 4.0
    max_sequence_length: int = 32
    size_multiple: int = 16
    min_side: int = 32
    max_side: int = 256
    max_pixels: int = 256 * 256
    is_distilled: bool = False
    embeds_guidance: bool = False
    true_cfg: bool = False
    is_baseline: bool = False
    regions: bool = True
    boxes: bool = False
    upsampler: str = ""
    caches: tuple[str, ...] = ()
    jumps: bool = False
    precision: Precision = "float32"
    tasks: tuple[Task, ...] = get_args(Task)
    max_references: int = 4

    def reference_size(self, width: int, height: int, *, alone: bool = False) -> tuple[int, int]:
        return fit(width, height, 256 * 256, 16)


@dataclass(frozen=True)
class PaperPicture:
    """An input that is nowhere."""

    digest: str
    width: int = 128
    height: int = 128


class PaperCatalog:
    """Two models and any adapter."""

    def model(self, name: str) -> PaperModel:
        if name not in ("klein-nano-base", "klein-nano"):
            raise ModelError(f"There is no model {name!r}.", "Choose another.")
        return PaperModel(name=name, fingerprint=name, is_distilled=name == "klein-nano")

    def adapter_fingerprint(self, name: str) -> str:
        return f"weights of {name}"

    def companion_fingerprint(self, name: str) -> str:
        return f"weights of {name}"

    def picture(self, name: str, *, mask: bool = False) -> PaperPicture:
        return PaperPicture(f"{'mask' if mask else 'picture'} {name}")


@pytest.fixture(scope="session")
def catalog() -> PaperCatalog:
    return PaperCatalog()


@pytest.fixture(scope="session")
def build(catalog: PaperCatalog) -> Build:
    """Makes the result of a grid: rendered scenes as pictures, with the shots of `failed` and `pending` cells as such."""

    def make(
        base: dict[str, Any],
        axes: list[Any],
        *,
        failed: tuple[int, ...] = (),
        pending: tuple[int, ...] = (),
        error: str = "Latents became infinite at step 3.",
        **options: Any,
    ) -> GridResult:
        grid = Grid(base, axes, **options)
        plan = grid.expand(catalog)
        shots = {}
        for cell in plan.cells:
            for seed, resolved in enumerate(cell.resolved):
                shot = Shot(cell.index, seed, cell.recipes[seed], resolved.digest)
                if cell.index in failed:
                    shot = replace(shot, status="failed", error=GenerationError(error))
                elif cell.index not in pending:
                    shot = replace(shot, status="done", picture=_scene(resolved.digest, resolved.recipe))
                shots[cell.index, seed] = shot
        return GridResult(grid, plan, shots)

    return make


def _scene(digest: str, recipe: Any) -> Image.Image:
    scene = sample_scene(random.Random(digest))
    return Image.fromarray(render(scene, max(recipe.width, recipe.height))).crop((0, 0, recipe.width, recipe.height))
