"""Pictures from weights in fewer bits: near the exact ones, another digest, told in the recipe."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.engine import Engine
from workbench.errors import RecipeError
from workbench.models.catalog import ModelCatalog
from workbench.recipe import Quantisation, Recipe

PROMPT = "a red circle to the left of a blue square on a white background"
BASE = Recipe(model="klein-nano", prompt=PROMPT, width=96, height=96)


@pytest.fixture(scope="module")
def engine(tiny_catalog: ModelCatalog) -> Engine:
    return Engine(tiny_catalog, device="cpu", batch_size=1)


def pixels(engine: Engine, recipe: Recipe) -> np.ndarray:
    (result,) = engine.run([recipe])
    assert result.error is None
    return np.asarray(result.picture, dtype=float)


@pytest.mark.parametrize(("method", "largest"), [("int8", 3.0), ("fp8", 8.0), ("nf4", 40.0)])
def test_pictures_are_near_the_exact_ones(engine: Engine, method: Quantisation, largest: float) -> None:
    exact = pixels(engine, BASE.replace(precision="float32"))
    near = pixels(engine, BASE.replace(precision="float32", quantisation=method))
    error = float(np.sqrt(np.mean((exact - near) ** 2)))
    assert 0 < error < largest


def test_one_run_may_mix_forms_and_each_keeps_its_own(engine: Engine) -> None:
    methods: list[Quantisation | None] = [None, "int8", None, "nf4"]
    recipes = [BASE.replace(quantisation=method, seed=seed) for seed, method in enumerate(methods)]
    together = {result.index: np.asarray(result.picture, dtype=float) for result in engine.run(recipes)}
    for index, recipe in enumerate(recipes):
        assert np.array_equal(together[index], pixels(engine, recipe))
    digests = {result.digest for result in engine.run(recipes)}
    assert len(digests) == 4


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(RecipeError, match="quantisation"):
        Recipe.parse({"quantisation": "int3"})
