"""Our pictures against diffusers' `Flux2KleinPipeline`: same weights, seed and settings, same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL.Image import Image

from tests.conftest import TinyKlein
from workbench.engine import Engine
from workbench.engine.denoise import Denoiser, make_rows
from workbench.engine.latents import denormalise, unpack
from workbench.engine.plan import make_plan
from workbench.engine.text import encode, tokenize
from workbench.models import Model, ModelCatalog
from workbench.models.catalog import EMBEDDED
from workbench.models.loading import load
from workbench.recipe import Adapter, Recipe

CPU = torch.device("cpu")
EMBEDDED_MODELS = sorted(index.parent.name for index in EMBEDDED.glob("*/model_index.json"))


def pipeline(model: Model, dtype: torch.dtype = torch.float32) -> Any:
    from diffusers import Flux2KleinPipeline

    pipe = Flux2KleinPipeline.from_pretrained(model.path, dtype=dtype, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stock(pipe: Any, model: Model, recipe: Recipe) -> Image:
    """What the pipeline draws for a recipe; absent fields are the model's."""
    picture: Image = pipe(
        prompt=recipe.prompt,
        width=recipe.width or model.width,
        height=recipe.height or model.height,
        num_inference_steps=recipe.steps or model.steps,
        guidance_scale=model.guidance_scale if recipe.guidance_scale is None else recipe.guidance_scale,
        generator=torch.Generator().manual_seed(recipe.seed),
        max_sequence_length=recipe.max_sequence_length or model.max_sequence_length,
        text_encoder_out_layers=model.family.text_layers,
    ).images[0]
    return picture


def difference(one: Image | None, other: Image | None) -> int:
    """Largest difference of any value, 0 to 255."""
    assert one is not None
    assert other is not None
    assert one.size == other.size
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


RECIPES = [
    Recipe(prompt="a red circle", seed=1, width=64, height=96, steps=5, guidance_scale=4.0),
    Recipe(prompt="blue on the left", seed=2**40, width=128, height=64, steps=3, guidance_scale=1.5),
    Recipe(prompt="", seed=3, width=64, height=64, steps=1, guidance_scale=1.0),
    Recipe(prompt="two\nlines — ünïcode", seed=4, width=80, height=64, steps=4, max_sequence_length=64),
]


@pytest.mark.parametrize("name", ["tiny-base", "tiny-distilled", "tiny-static"])
def test_pictures_equal_the_pipeline(tiny_engine: Engine, tiny_catalog: ModelCatalog, name: str) -> None:
    model = tiny_catalog.model(name)
    pipe = pipeline(model)
    recipes = [recipe.replace(model=name) for recipe in RECIPES]
    for result in tiny_engine.run(recipes):
        assert result.error is None
        expected = stock(pipe, model, result.recipe)
        assert np.asarray(expected).std() > 5  # a flat picture would prove nothing
        assert difference(result.picture, expected) <= 1


@pytest.mark.parametrize("name", EMBEDDED_MODELS)
def test_embedded_pictures_equal_the_pipeline(tmp_path: Path, name: str) -> None:
    catalog = ModelCatalog(tmp_path, device="cpu")
    model = catalog.model(name)
    pipe = pipeline(model)
    recipes = [
        Recipe(model=name, prompt="a red circle", seed=1, steps=4),
        Recipe(model=name, prompt='a blue square to the left of a star with the word "SUN"', seed=2, width=96, steps=3),
    ]
    for result in Engine(catalog, device="cpu").run(recipes):
        assert difference(result.picture, stock(pipe, model, result.recipe)) <= 1


@pytest.mark.parametrize("name", ["tiny-base", "tiny-distilled"])
def test_bfloat16_latents_are_bit_equal_alone(tiny_catalog: ModelCatalog, name: str) -> None:
    """Every rounding is the pipeline's, so one row in passes of its own gives the very latents."""
    model = tiny_catalog.model(name)
    parts, pipe = load(model, "bfloat16", CPU), pipeline(model, torch.bfloat16)
    recipe = Recipe(model=name, prompt="circle", seed=1, width=64, height=96, steps=4, precision="bfloat16")
    expected = pipe(
        prompt="circle",
        width=64,
        height=96,
        num_inference_steps=4,
        generator=torch.Generator().manual_seed(1),
        max_sequence_length=model.max_sequence_length,
        text_encoder_out_layers=model.family.text_layers,
        output_type="latent",
    ).images
    text, negative = (encode(parts, tokenize(parts, words, model.max_sequence_length)) for words in ("circle", ""))
    (group,) = make_plan([recipe], tiny_catalog).groups
    rows = make_rows(parts, group.jobs, [(text, negative)], 6, 4)
    denoiser = Denoiser(parts, 6, 4)
    for _ in range(4):
        denoiser.step(rows, together=False)
    assert torch.equal(denormalise(parts.vae, unpack(rows.latents, 6, 4)), expected)


@pytest.mark.parametrize("name", ["tiny-base", *EMBEDDED_MODELS])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_embeddings_are_bit_equal(tiny_klein: TinyKlein, tmp_path: Path, name: str, precision: Any) -> None:
    model = ModelCatalog(tmp_path, tiny_klein.root, device="cpu").model(name)
    parts = load(model, precision, CPU)
    pipe = pipeline(model, parts.dtype)
    for prompt in ("a red circle", "", "long " * 60):
        expected, _ = pipe.encode_prompt(
            prompt,
            max_sequence_length=model.max_sequence_length,
            text_encoder_out_layers=model.family.text_layers,
        )
        ours = encode(parts, tokenize(parts, prompt, model.max_sequence_length)).embeds
        assert ours.dtype == expected.dtype
        assert torch.equal(ours, expected)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
def test_adapters_equal_diffusers(tiny_engine: Engine, tiny_catalog: ModelCatalog) -> None:
    model = tiny_catalog.model("tiny-base")
    pipe = pipeline(model)
    for name in ("plain", "scaled"):
        pipe.load_lora_weights(tiny_catalog.adapter_path(name), adapter_name=name)
    base = Recipe(model="tiny-base", prompt="a red circle", seed=1, width=64, height=64, steps=4)
    recipes = [
        base.replace(adapters=(Adapter(name="plain", weight=0.8),)),
        base.replace(adapters=(Adapter(name="scaled", weight=-0.5),)),
        base.replace(adapters=(Adapter(name="plain", weight=0.3), Adapter(name="scaled", weight=1.0))),
        base,
    ]
    results = {result.index: result for result in tiny_engine.run(recipes)}
    for index, recipe in enumerate(recipes):
        if recipe.adapters:
            pipe.enable_lora()
            names = [adapter.name for adapter in recipe.adapters]
            pipe.set_adapters(names, [adapter.weight for adapter in recipe.adapters])
        else:
            pipe.disable_lora()
        assert difference(results[index].picture, stock(pipe, model, recipe)) <= 1
    assert difference(results[0].picture, results[3].picture) > 10


def test_a_picture_does_not_depend_on_its_neighbours(tiny_catalog: ModelCatalog) -> None:
    base = Recipe(model="tiny-base", width=64, height=80)
    recipes = [
        base.replace(prompt=prompt, negative_prompt=negative, seed=seed, steps=steps, guidance_scale=guidance)
        for prompt, negative, seed, steps, guidance in [
            ("a red circle", "", 1, 4, 4.0),
            ("a blue square", "dark", 2, 2, 2.0),
            ("something else", "", 1, 6, 1.0),
            ("", "", 9, 3, 7.5),
            ("a red circle", "", 1, 5, 4.0),
        ]
    ]
    together = {result.index: result for result in Engine(tiny_catalog, device="cpu", batch_size=5).run(recipes)}
    alone = Engine(tiny_catalog, device="cpu", batch_size=1)
    for index, recipe in enumerate(recipes):
        (result,) = alone.run([recipe])
        assert difference(together[index].picture, result.picture) <= 1
        assert together[index].digest == result.digest


def test_negative_prompts_act(tiny_engine: Engine, tiny_catalog: ModelCatalog) -> None:
    """The pipeline takes negative prompts only as embeddings; the picture equals what it draws from ours."""
    model = tiny_catalog.model("tiny-base")
    pipe = pipeline(model)
    recipe = Recipe(model=model.name, prompt="circle", negative_prompt="red", seed=1, width=64, height=64, steps=4)
    (result,) = tiny_engine.run([recipe])
    text = {"max_sequence_length": model.max_sequence_length, "text_encoder_out_layers": model.family.text_layers}
    negative, _ = pipe.encode_prompt("red", **text)
    expected = pipe(
        prompt="circle",
        negative_prompt_embeds=negative,
        width=64,
        height=64,
        num_inference_steps=4,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(1),
        **text,
    ).images[0]
    assert difference(result.picture, expected) <= 1
    (other,) = tiny_engine.run([recipe.replace(negative_prompt="")])
    assert difference(result.picture, other.picture) > 5
