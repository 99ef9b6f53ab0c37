"""A control picture together with an image, a mask or margins, against the control pipelines of diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.pictures import difference, draw
from tests.flux1_models import stock, write_control_lora, write_flux1
from workbench.engine import Engine
from workbench.errors import RecipeError
from workbench.models import ModelCatalog
from workbench.recipe import Adapter, Recipe, resolve

WIDTH, HEIGHT, INSIDE = 96, 64, (slice(16, 48), slice(32, 80))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> ModelCatalog:
    root, home = tmp_path_factory.mktemp("flux1"), tmp_path_factory.mktemp("home")
    write_flux1(root / "control", seed=3, pipeline="FluxControlPipeline", channels=32)
    model = write_flux1(root / "dev", seed=1)
    write_control_lora(home / "adapters" / "canny.safetensors", model, seed=2)
    return ModelCatalog(home, root, device="cpu")


@pytest.fixture(scope="module")
def engine(catalog: ModelCatalog) -> Engine:
    return Engine(catalog, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    draw(1, WIDTH, HEIGHT).save(folder / "image.png")
    draw(2, WIDTH, HEIGHT).save(folder / "map.png")
    levels = np.zeros((HEIGHT, WIDTH), np.uint8)
    levels[INSIDE] = 255
    Image.fromarray(levels).save(folder / "mask.png")
    return folder


def controlled(pictures: Path, **fields: Any) -> Recipe:
    values = {"model": "control", "prompt": "a red circle", "seed": 5, "steps": 5}
    values |= {"guidance_scale": 20.0, "max_sequence_length": 32}
    given = {"control": pictures / "map.png", "control_type": "map", "image": pictures / "image.png"}
    return Recipe(**(values | given | fields))


def theirs(pipe: Any, pictures: Path, **more: Any) -> Image.Image:
    picture: Image.Image = pipe(
        prompt="a red circle", image=Image.open(pictures / "image.png"), control_image=Image.open(pictures / "map.png"),
        width=WIDTH, height=HEIGHT, num_inference_steps=5, max_sequence_length=32,
        generator=torch.Generator().manual_seed(5), **more,
    ).images[0]  # fmt: skip
    return picture


@pytest.mark.parametrize("strength", [0.4, 0.8])
def test_an_image_with_control_equals_the_pipeline(
    engine: Engine, catalog: ModelCatalog, pictures: Path, strength: float
) -> None:
    (result,) = engine.run([controlled(pictures, strength=strength)])
    assert result.error is None
    assert result.resolved is not None
    assert result.resolved.recipe.task == "image-to-image"
    pipe = stock(catalog.model("control"), "FluxControlImg2ImgPipeline")
    assert difference(result.picture, theirs(pipe, pictures, strength=strength, guidance_scale=20.0)) <= 1


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_mask_with_control_equals_the_pipeline_inside_it(
    engine: Engine, catalog: ModelCatalog, pictures: Path, strength: float
) -> None:
    (result,) = engine.run([controlled(pictures, mask=pictures / "mask.png", strength=strength)])
    assert result.error is None
    pipe = stock(catalog.model("control"), "FluxControlInpaintPipeline")
    mask = Image.open(pictures / "mask.png")
    expected = np.asarray(theirs(pipe, pictures, mask_image=mask, strength=strength, guidance_scale=20.0), int)
    ours, image = np.asarray(result.picture, int), np.asarray(Image.open(pictures / "image.png"), int)
    assert expected[INSIDE].std() > 5
    assert np.abs(ours - expected)[INSIDE].max() <= 1
    outside = np.asarray(mask) == 0
    assert (ours == image)[outside].all()


def test_a_control_lora_goes_with_an_image_too(engine: Engine, catalog: ModelCatalog, pictures: Path) -> None:
    lora = (Adapter(name="canny"),)
    asked = controlled(pictures, model="dev", adapters=lora, strength=0.6, guidance_scale=3.5)
    (result,) = engine.run([asked])
    assert result.error is None
    pipe = stock(catalog.model("dev"), "FluxControlImg2ImgPipeline")
    pipe.load_lora_weights(catalog.adapter_path("canny"), adapter_name="canny")
    assert difference(result.picture, theirs(pipe, pictures, strength=0.6, guidance_scale=3.5)) <= 1


def test_strength_1_is_control_alone_and_0_is_the_image_through_the_vae(
    engine: Engine, catalog: ModelCatalog, pictures: Path
) -> None:
    whole = resolve(controlled(pictures, strength=1.0), catalog)
    alone = resolve(controlled(pictures, image=None), catalog)
    assert whole.recipe.task == "control"
    assert whole.digest == alone.digest
    nothing, other = engine.run([controlled(pictures, strength=0.0), controlled(pictures, strength=0.0, prompt="b")])
    assert difference(nothing.picture, other.picture) == 0


def test_margins_with_control_keep_the_image(engine: Engine, pictures: Path) -> None:
    (result,) = engine.run([controlled(pictures, margins=(0, 16, 32, 0))])
    assert result.error is None
    ours = np.asarray(result.picture, int)
    assert ours.shape == (HEIGHT + 16, WIDTH + 32, 3)
    assert (ours[16:, :WIDTH] == np.asarray(Image.open(pictures / "image.png"), int)).all()


def test_a_batch_with_and_without_an_image(catalog: ModelCatalog, engine: Engine, pictures: Path) -> None:
    recipes = [
        controlled(pictures, strength=0.4), controlled(pictures, image=None), controlled(pictures, strength=0.8, seed=7),
    ]  # fmt: skip
    together = {result.index: result for result in engine.run(recipes)}
    alone = Engine(catalog, device="cpu", batch_size=1)
    for index, recipe in enumerate(recipes):
        (result,) = alone.run([recipe])
        assert difference(together[index].picture, result.picture) <= 1


def test_control_models_need_their_picture_and_references_stay_out(catalog: ModelCatalog, pictures: Path) -> None:
    with pytest.raises(RecipeError, match=r"control draws along a control picture.* flux2-klein"):
        resolve(controlled(pictures, control=None, control_type=None), catalog)
    with pytest.raises(RecipeError, match="cannot be combined with references"):
        resolve(controlled(pictures, image=None, references=[pictures / "image.png"]), catalog)
