"""Approximate caches: equal to diffusers' pipelines with the same cache, free of neighbours, and gone afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.pictures import difference, pipeline
from tests.flux1_models import write_flux1
from workbench.engine import CancelToken, Engine, Step
from workbench.engine.denoise import Denoiser
from workbench.engine.step_cache import StepCache, worn
from workbench.errors import Cancelled, RecipeError
from workbench.models import ModelCatalog
from workbench.recipe import Recipe, resolve
from workbench.session import Session
from workbench.store import read_picture

RATIOS = "magcache:threshold=1:ratios=1/1.02/1.01/1.03/0.99/1.01/1"
KLEIN = ("taylorseer:interval=3:order=2", "taylorseer:warmup=2:order=0:lite=1", RATIOS)
FLUX1 = ("taylorseer:interval=3", "magcache:threshold=1", "first_block:threshold=5")
BASE = Recipe(model="tiny-base", prompt="a red circle", seed=3, width=64, height=96, steps=7, guidance_scale=4.0)
DEV = Recipe(
    model="dev", prompt="a red circle", seed=3, width=64, height=96, steps=7, guidance_scale=3.5,
    max_sequence_length=32,
)  # fmt: skip


@pytest.fixture(scope="module")
def catalog(tiny_catalog: ModelCatalog, tmp_path_factory: pytest.TempPathFactory) -> ModelCatalog:
    root = tmp_path_factory.mktemp("flux1")
    write_flux1(root / "dev", seed=1)
    for folder in ("tiny-base", "tiny-distilled"):
        (root / folder).symlink_to(tiny_catalog.model(folder).path)
    return ModelCatalog(tmp_path_factory.mktemp("home"), root, device="cpu")


@pytest.fixture(scope="module")
def engine(catalog: ModelCatalog) -> Engine:
    return Engine(catalog, device="cpu", batch_size=4)


def picture(engine: Engine, recipe: Recipe) -> Image.Image:
    (result,) = engine.run([recipe])
    assert result.error is None
    assert result.picture is not None
    return result.picture


def stock(catalog: ModelCatalog, recipe: Recipe) -> Image.Image:
    """What the pipeline draws with the cache that diffusers puts on its transformer."""
    model = catalog.model(recipe.model)
    given: dict[str, Any] = {
        "prompt": recipe.prompt, "width": recipe.width, "height": recipe.height, "num_inference_steps": recipe.steps,
        "guidance_scale": recipe.guidance_scale, "generator": torch.Generator().manual_seed(recipe.seed),
        "max_sequence_length": recipe.max_sequence_length or model.max_sequence_length,
    }  # fmt: skip
    if recipe.model == "dev":
        pipe = pipeline(model, "FluxPipeline")
        given |= {"negative_prompt": recipe.negative_prompt, "true_cfg_scale": recipe.true_cfg_scale or 1.0}
    else:
        pipe = pipeline(model)
        given["text_encoder_out_layers"] = model.family.text_layers
    resolved = resolve(recipe, catalog).recipe
    assert resolved.cache is not None
    assert resolved.steps is not None
    StepCache(resolved.cache, resolved.steps, torch.float32).put_on(pipe.transformer)
    drawn: Image.Image = pipe(**given).images[0]
    return drawn


@pytest.mark.parametrize(
    "recipe",
    [
        *(BASE.replace(cache=cache) for cache in KLEIN),
        BASE.replace(model="tiny-distilled", cache=KLEIN[0]),
        *(DEV.replace(cache=cache) for cache in FLUX1),
        DEV.replace(cache="first_block:threshold=0.5", negative_prompt="blue", true_cfg_scale=3.0),
    ],
    ids=lambda recipe: f"{recipe.model} {recipe.cache}",
)
def test_pictures_are_those_of_the_pipeline_with_the_same_cache(
    catalog: ModelCatalog, engine: Engine, recipe: Recipe
) -> None:
    ours = picture(engine, recipe)
    assert difference(ours, stock(catalog, recipe)) <= 1
    assert difference(ours, picture(engine, recipe.replace(cache=None))) > 1  # the cache did something


@pytest.mark.parametrize("recipe", [BASE, DEV], ids=["klein", "flux1"])
def test_after_a_cache_the_transformer_is_as_before(catalog: ModelCatalog, engine: Engine, recipe: Recipe) -> None:
    before = np.asarray(picture(engine, recipe))
    parts = engine._registry.get(catalog.model(recipe.model), "float32", torch.device("cpu"))
    kept = {name: set(vars(module)) for name, module in parts.transformer.named_modules()}
    for cache in KLEIN if recipe is BASE else FLUX1:
        picture(engine, recipe.replace(cache=cache))
        assert worn(parts.transformer) is None
        assert {name: set(vars(module)) for name, module in parts.transformer.named_modules()} == kept
        assert np.array_equal(np.asarray(picture(engine, recipe)), before)


@pytest.mark.parametrize("recipe", [BASE.replace(cache=KLEIN[0]), BASE.replace(cache=RATIOS), *(
    DEV.replace(cache=cache) for cache in FLUX1
)], ids=lambda recipe: recipe.cache)  # fmt: skip
def test_neighbours_do_not_change_a_picture(engine: Engine, recipe: Recipe) -> None:
    others = [
        recipe.replace(prompt="another thing", seed=9, guidance_scale=1.0),
        recipe.replace(steps=9),
        recipe.replace(cache=None),
        recipe.replace(prompt="blue", seed=4),
    ]
    results = list(engine.run([*others[:2], recipe, *others[2:]]))
    assert all(result.error is None for result in results)
    (own,) = (result for result in results if result.index == 2)
    assert difference(own.picture, picture(engine, recipe)) <= 1
    rows = own.environment["batch_size"]
    assert rows == ("1" if "first_block" in str(recipe.cache) else "4")


def test_runs_may_alternate_between_the_steps_of_a_batch(engine: Engine) -> None:
    cached, other = BASE.replace(cache=KLEIN[0]), BASE.replace(seed=8, cache=RATIOS)
    alone = [np.asarray(picture(engine, recipe)) for recipe in (cached, other, BASE)]
    found: list[Image.Image] = []

    def interfere(event: object) -> None:
        if isinstance(event, Step) and event.step in (2, 5):
            found.append(picture(engine, other if event.step == 2 else BASE))

    (result,) = engine.run([cached], listen=interfere)
    assert len(found) == 2
    for one, other_picture in zip([result.picture, *found], alone, strict=True):
        assert np.array_equal(np.asarray(one), other_picture)


def test_when_memory_runs_out_a_cached_batch_begins_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = [BASE.replace(cache=KLEIN[0], seed=seed) for seed in range(2)]
    alone = [picture(engine, recipe) for recipe in recipes]
    step, failed = Denoiser.step, iter([False, False, False, False, True])

    def short(self: Denoiser, *given: Any, **more: Any) -> torch.Tensor:
        if next(failed, False):
            raise MemoryError
        return step(self, *given, **more)

    monkeypatch.setattr(Denoiser, "step", short)
    results = list(engine.run(recipes))
    assert all(result.fallbacks for result in results)
    for result in results:
        assert difference(result.picture, alone[result.index]) <= 1


def test_a_picture_that_is_dropped_does_not_change_its_neighbours(engine: Engine) -> None:
    recipes = [BASE.replace(cache=KLEIN[0], seed=seed) for seed in range(2)]
    alone = picture(engine, recipes[1])
    cancel = CancelToken()

    def drop(event: object) -> None:
        if isinstance(event, Step) and event.step == 3:
            cancel.drop(resolve(recipes[0], engine._catalog).digest)

    (result,) = engine.run(recipes, listen=drop, cancel=cancel)
    assert result.index == 1
    assert difference(result.picture, alone) <= 1


def test_a_stopped_run_leaves_no_hooks(catalog: ModelCatalog, engine: Engine) -> None:
    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == 4:
            cancel.cancel()

    cancel = CancelToken()
    with pytest.raises(Cancelled):
        list(engine.run([BASE.replace(cache=KLEIN[0])], listen=stop, cancel=cancel))
    parts = engine._registry.get(catalog.model("tiny-base"), "float32", torch.device("cpu"))
    assert worn(parts.transformer) is None


@pytest.mark.parametrize(
    ("recipe", "message", "remedy"),
    [
        (BASE.replace(cache="first_block"), "tiny-base takes no first_block cache", "Use taylorseer or magcache"),
        (BASE.replace(cache="magcache"), "magcache needs magnitude ratios of tiny-base", "models caches tiny-base"),
    ],
)
def test_what_does_not_work_is_refused_at_the_edge(
    catalog: ModelCatalog, recipe: Recipe, message: str, remedy: str
) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        resolve(recipe, catalog)
    assert remedy in caught.value.remedy


def test_the_published_ratios_are_those_the_recipes_mean() -> None:
    """`ratios=flux1` is part of digests: another table would need another version."""
    import hashlib

    from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

    table = "/".join(f"{value:.5f}" for value in FLUX_MAG_RATIOS.tolist())
    assert hashlib.sha256(table.encode()).hexdigest()[:16] == "32605a9c7d4e6417"


def test_a_picture_tells_its_cache_in_its_file(tmp_path: Path) -> None:
    session = Session(home=tmp_path, device="cpu")
    recipe = Recipe(model="klein-nano", prompt="a red circle", width=64, height=64, cache="taylorseer")
    (result,) = session.run([recipe])
    _, metadata = read_picture(session.store.path(result.digest))
    assert metadata["recipe"]["cache"] == "taylorseer-1:interval=5:order=1:warmup=3:lite=0"
