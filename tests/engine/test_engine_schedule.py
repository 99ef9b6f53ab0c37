"""Shift and sigmas of a recipe against the pipeline with a scheduler so configured."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from tests.engine.pictures import difference, pipeline
from workbench.engine import Engine
from workbench.models import ModelCatalog
from workbench.recipe import Recipe, resolve

BASE = Recipe(model="tiny-base", prompt="a red circle", width=64, height=80, steps=4, guidance_scale=3.0, seed=2)
SIGMAS = (1.0, 0.9, 0.3, 0.1, 0.05)


def stock(pipe: Any, model: Any, steps: int, **sigmas: Any) -> Any:
    return pipe(
        prompt=BASE.prompt, width=64, height=80, num_inference_steps=steps, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(2), max_sequence_length=model.max_sequence_length,
        text_encoder_out_layers=model.family.text_layers, **sigmas,
    ).images[0]  # fmt: skip


@pytest.mark.parametrize("name", ["tiny-base", "tiny-static"])
def test_schedules_equal_the_pipelines(tiny_engine: Engine, tiny_catalog: ModelCatalog, name: str) -> None:
    model = tiny_catalog.model(name)
    base = BASE.replace(model=name)
    recipes = [
        base, base.replace(sigmas=SIGMAS, steps=None), base.replace(shift=1.7),
        base.replace(shift=0.5, sigmas=SIGMAS, steps=5),
    ]  # fmt: skip
    results = {result.index: result for result in tiny_engine.run(recipes)}
    pipe = pipeline(model)
    own = pipe.scheduler
    assert difference(results[0].picture, stock(pipe, model, 4)) <= 1
    assert difference(results[1].picture, stock(pipe, model, 5, sigmas=list(SIGMAS))) <= 1
    for index, shift, sigmas in ((2, 1.7, {}), (3, 0.5, {"sigmas": list(SIGMAS)})):
        pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config(
            own.config, use_dynamic_shifting=False, shift=shift
        )
        assert difference(results[index].picture, stock(pipe, model, 5 if sigmas else 4, **sigmas)) <= 1
    assert difference(results[0].picture, results[1].picture) > 5
    assert difference(results[0].picture, results[2].picture) > 5


def test_the_number_of_sigmas_is_the_number_of_steps(tiny_catalog: ModelCatalog) -> None:
    free = resolve(BASE.replace(steps=None, sigmas="1, 0.9, 0.3, 0.1, 0.05"), tiny_catalog)
    assert free.recipe.steps == 5
    assert free.digest == resolve(BASE.replace(steps=5, sigmas=SIGMAS), tiny_catalog).digest
    assert free.digest != resolve(BASE.replace(steps=5), tiny_catalog).digest
