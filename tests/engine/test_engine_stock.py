"""Stable Diffusion as a baseline: what the engine gives is what the stock pipeline gives, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.conftest import write_klein
from tests.engine.pictures import difference, draw
from tests.flux1_models import stock
from tests.stable_models import write_stable
from workbench.engine import CancelToken, Engine, Step
from workbench.errors import Cancelled, RecipeError
from workbench.models import ModelCatalog
from workbench.recipe import Recipe, resolve


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> ModelCatalog:
    root = tmp_path_factory.mktemp("stable")
    write_stable(root / "one", seed=1, xl=False)
    write_stable(root / "xl", seed=2, xl=True)
    write_klein(root / "klein", seed=3)
    return ModelCatalog(tmp_path_factory.mktemp("home"), root, device="cpu")


@pytest.fixture(scope="module")
def engine(catalog: ModelCatalog) -> Engine:
    return Engine(catalog, device="cpu", batch_size=4)


def recipe(model: str, **fields: Any) -> Recipe:
    return Recipe(
        model=model, **({"prompt": "a red circle", "seed": 3, "width": 64, "height": 72, "steps": 4} | fields)
    )


@pytest.mark.parametrize(("model", "cls"), [("one", "StableDiffusionPipeline"), ("xl", "StableDiffusionXLPipeline")])
def test_text_to_image(engine: Engine, catalog: ModelCatalog, model: str, cls: str) -> None:
    found = catalog.model(model)
    assert found.family.name == {"one": "sd15", "xl": "sdxl"}[model]
    assert found.parameters > 0
    asked = recipe(model, negative_prompt="blue", guidance_scale=6.0)
    told: list[Any] = []
    (result,) = engine.run([asked], listen=told.append)
    expected = stock(found, cls)(
        prompt=asked.prompt, negative_prompt="blue", width=64, height=72, num_inference_steps=4, guidance_scale=6.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]  # fmt: skip
    assert difference(result.picture, expected) == 0
    assert [event.step for event in told if isinstance(event, Step)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("model", "cls"), [("one", "StableDiffusionImg2ImgPipeline"), ("xl", "StableDiffusionXLImg2ImgPipeline")]
)
def test_image_to_image(engine: Engine, catalog: ModelCatalog, tmp_path: Path, model: str, cls: str) -> None:
    photo = tmp_path / "photo.png"
    draw(1, 96, 64).save(photo)
    asked = recipe(model, image=photo, strength=0.5, width=96, height=64, guidance_scale=3.0)
    (result,) = engine.run([asked])
    expected = stock(catalog.model(model), cls)(
        prompt=asked.prompt, image=Image.open(photo), strength=0.5, num_inference_steps=4, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]  # fmt: skip
    assert difference(result.picture, expected) == 0


def test_one_run_may_mix_them_with_flux(engine: Engine) -> None:
    results = list(engine.run([recipe("one"), recipe("klein", width=64, height=64), recipe("one", seed=4)]))
    assert [result.error for result in results] == [None] * 3


def test_what_the_baselines_do_not_take_is_refused(engine: Engine, catalog: ModelCatalog, tmp_path: Path) -> None:
    (result,) = engine.run([recipe("one", shift=2.0)])
    assert isinstance(result.error, RecipeError)
    assert "takes no shift" in str(result.error)
    draw(1, 64, 64).save(tmp_path / "a.png")
    with pytest.raises(RecipeError, match="one cannot do edit"):
        resolve(recipe("one", references=[tmp_path / "a.png"]), catalog)


def test_a_baseline_stops_within_a_step(engine: Engine) -> None:
    cancel, steps = CancelToken(), []

    def listen(event: object) -> None:
        if isinstance(event, Step):
            steps.append(event.step)
            cancel.cancel()

    with pytest.raises(Cancelled):
        list(engine.run([recipe("one", steps=30)], listen=listen, cancel=cancel))
    assert steps == [1]
