"""MagCache's magnitude ratios of a checkpoint: how much the norm of what all blocks add changes from step to step.

They are measured once, by drawing a few pictures exactly, and become part of the recipes that use them, so that a
picture stays a function of its recipe. Source: Ma et al. 2025, "MagCache"; the measurement is diffusers' own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workbench.engine.denoise import Denoiser, make_rows
from workbench.engine.plan import Job, make_plan
from workbench.engine.step_cache import StepCache, wear
from workbench.engine.text import TextCache
from workbench.errors import RecipeError
from workbench.models.catalog import ModelCatalog
from workbench.models.loading import Components, load
from workbench.recipe import Recipe
from workbench.recipe.approximate import Mode

DIGITS = 4  # decimals that are kept; a picture hardly changes by more


def calibrate(catalog: ModelCatalog, recipes: Sequence[Recipe], device: torch.device) -> Mode:
    """MagCache with the ratios of the recipes' model, each the mean over the recipes.

    Args:
        catalog: finds the model.
        recipes: text to picture, of one model and equally many steps; three or four do.
        device: where to compute.

    Raises:
        RecipeError: a model that takes no MagCache, or recipes that differ in more than prompt and seed.
    """
    plan = make_plan(recipes, catalog)
    for failure in plan.failures:
        raise failure.error
    jobs = [job for group in plan.groups for job in group.jobs]
    if len(plan.groups) != 1 or len({job.steps for job in jobs}) != 1 or jobs[0].recipe.task != "text-to-image":
        raise RecipeError("Recipes for a calibration differ in prompt and seed only, and begin with noise alone.")
    model = catalog.model(jobs[0].recipe.model)
    if "magcache" not in model.caches:
        raise RecipeError(f"{model.name} takes no magcache cache.", "`workbench models features` shows which do.")
    parts = load(model, plan.groups[0].precision, device)
    texts = TextCache()
    noted = [_ratios(parts, job, texts) for job in jobs]
    means = [round(sum(step) / len(noted), DIGITS) for step in zip(*noted, strict=True)]
    return Mode("magcache", (), tuple(means))


def _ratios(parts: Components, job: Job, texts: TextCache) -> list[float]:
    """One number a step of one picture; with guidance over both passes."""
    recipe, patch = job.recipe, parts.patch_pixels
    assert recipe.width is not None  # these are filled by resolve
    assert recipe.height is not None
    assert recipe.max_sequence_length is not None
    pair = (recipe.prompt, recipe.negative_prompt if job.guided else recipe.prompt)
    given = [texts.get(parts, text, recipe.max_sequence_length)[0] for text in pair]
    height, width = recipe.height // patch, recipe.width // patch
    rows = make_rows(parts, [job], [(given[0], given[1])], height, width)
    cache = StepCache("magcache", job.steps, parts.dtype, calibrate=True)
    denoiser = Denoiser(parts, height, width, cache=cache)
    for _ in range(job.steps):
        denoiser.step(rows)
    wear(parts.transformer, None)
    return cache.ratios()
