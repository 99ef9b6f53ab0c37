"""What each approximate cache saves and costs on one model: work, time, and PSNR against the exact pictures.

Everything is measured in one run, in turns: each prompt is drawn exactly and then with every mode, one picture a batch,
so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.comparison.difference import difference
from workbench.engine import Engine
from workbench.recipe import Recipe, resolve

if TYPE_CHECKING:
    from PIL.Image import Image

    from workbench.models.catalog import ModelCatalog

PROMPTS = (
    "a red circle to the left of a blue square on a white background",
    "a large green star on a yellow background",
    "three white triangles on a black background",
    "a purple ring above a gray heart on a pink background",
)
"""What is drawn where nothing is given: shapes, which every model here can draw."""

HIGHEST = 100.0  # decibels told of equal pictures, whose PSNR is infinite


@dataclass(frozen=True, slots=True)
class Row:
    """One mode."""

    cache: str  # canonical; '' is exact
    work: float  # arithmetic of the transformer, as a share of the exact picture's
    processor: float  # processor time of a whole picture, text and decoding included, as a share of the exact one's
    denoise: float  # wall time of the steps, as a share of the exact one's
    psnr: tuple[float, ...]  # decibels against the exact picture, one a prompt; 100 for equal ones

    @property
    def mean(self) -> float:
        """Mean PSNR in decibels."""
        return statistics.fmean(self.psnr)

    @property
    def worst(self) -> float:
        """The least PSNR of all prompts, in decibels."""
        return min(self.psnr)


def modes_of(caches: Sequence[str], magcache: str | None) -> list[str]:
    """The modes that are measured where none are named: each at its defaults, and one that does more or less.

    Args:
        caches: modes that the model takes.
        magcache: with the ratios of the model, or None for the published ones.
    """
    found: list[str] = []
    if "taylorseer" in caches:
        found += ["taylorseer:interval=2", "taylorseer:interval=3", "taylorseer", "taylorseer:interval=3:lite=1"]
    if "magcache" in caches:
        given = magcache or "magcache"
        found += [given, f"{given}:threshold=0.24"]
    if "first_block" in caches:
        found += ["first_block", "first_block:threshold=0.15"]
    return found


def measure(
    engine: Engine,
    catalog: ModelCatalog,
    base: Recipe,
    modes: Sequence[str],
    *,
    prompts: Sequence[str] = PROMPTS,
    tell: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """One row for every mode, in order.

    Args:
        engine: draws; its first picture warms it up and is not counted.
        catalog: the engine's.
        base: everything but prompt and cache.
        modes: as the recipe field `cache` takes them.
        prompts: one picture of each a mode.
        tell: called with (pictures done, pictures in all).

    Raises:
        RecipeError: a mode that the model does not take.
    """
    caches: list[str | None] = [None, *modes]
    recipes = [[base.replace(prompt=prompt, cache=cache) for cache in caches] for prompt in prompts]
    named = [resolve(recipe, catalog).recipe.cache or "" for recipe in recipes[0]]
    for recipe in recipes[0][:2]:  # weights, libraries and hooks are loaded before anything is timed
        _draw(engine, recipe)
    work = [_work(engine, recipe) for recipe in recipes[0]]
    seconds: list[list[tuple[float, float]]] = []
    psnr: list[list[float]] = []
    for done, row in enumerate(recipes):
        drawn = []
        for place, recipe in enumerate(row):
            drawn.append(_draw(engine, recipe))
            if tell:
                tell(done * len(caches) + place + 1, len(prompts) * len(caches))
        seconds.append([(cpu, wall) for _, cpu, wall in drawn])
        psnr.append([_psnr(picture, drawn[0][0]) for picture, _, _ in drawn])
    return [
        Row(
            cache,
            work[place] / work[0],
            statistics.median(each[place][0] / each[0][0] for each in seconds),
            statistics.median(each[place][1] / each[0][1] for each in seconds),
            tuple(each[place] for each in psnr),
        )
        for place, cache in enumerate(named)
    ]


def _draw(engine: Engine, recipe: Recipe) -> tuple[Image, float, float]:
    """Picture, processor seconds, wall seconds of the steps."""
    start = time.process_time()
    (result,) = engine.run([recipe])
    spent = time.process_time() - start
    if result.error is not None:
        raise result.error
    assert result.picture is not None  # a result without an error has one
    return result.picture, spent, result.seconds["denoise"]


def _work(engine: Engine, recipe: Recipe) -> int:
    """Multiplications and additions of the transformer for one picture."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        _draw(engine, recipe)
    found: list[int] = [
        sum(counts.values()) for name, counts in counter.get_flop_counts().items() if "Transformer2DModel" in name
    ]
    return max(found)


def _psnr(picture: Image, exact: Image) -> float:
    found = difference(picture, exact).psnr
    return HIGHEST if found is None else min(HIGHEST, found)
