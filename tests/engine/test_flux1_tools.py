"""FLUX.1 Fill, Canny and Depth, and Redux against the pipelines of diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.pictures import difference, draw
from tests.flux1_models import stock, write_depth, write_flux1, write_redux
from workbench.engine import Engine
from workbench.engine.control import control_map, edges
from workbench.errors import CompanionError, ControlError, RecipeError
from workbench.models import ModelCatalog
from workbench.recipe import Recipe, resolve
from workbench.recipe.controls import DEPTH, REDUX

LENGTH = 512  # which Redux always reads


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> ModelCatalog:
    root, home = tmp_path_factory.mktemp("flux1"), tmp_path_factory.mktemp("home")
    write_flux1(root / "dev", seed=1)
    write_flux1(root / "fill", seed=2, pipeline="FluxFillPipeline", channels=16 + 16 + 256)
    write_flux1(root / "control", seed=3, pipeline="FluxControlPipeline", channels=32)
    write_redux(home / "models" / REDUX, seed=4)
    write_depth(home / "models" / DEPTH, seed=5)
    return ModelCatalog(home, root, device="cpu")


@pytest.fixture(scope="module")
def engine(catalog: ModelCatalog) -> Engine:
    return Engine(catalog, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    draw(1, 96, 64).save(folder / "a.png")
    draw(2, 64, 80).save(folder / "b.png")
    levels = np.zeros((64, 96), np.uint8)
    levels[13:45, 27:70] = 255  # not on token borders
    Image.fromarray(levels).save(folder / "mask.png")
    return folder


def given(recipe: Recipe, **more: Any) -> dict[str, Any]:
    return {
        "num_inference_steps": recipe.steps,
        "guidance_scale": recipe.guidance_scale,
        "generator": torch.Generator().manual_seed(recipe.seed),
        **more,
    }


def base(model: str, **fields: Any) -> Recipe:
    values = {"prompt": "a red circle", "seed": 5, "steps": 4, "guidance_scale": 20.0, "max_sequence_length": 32}
    return Recipe(model=model, **(values | fields))


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_fill_equals_the_pipeline_inside_the_mask(
    engine: Engine, catalog: ModelCatalog, pictures: Path, strength: float
) -> None:
    pipe = stock(catalog.model("fill"), "FluxFillPipeline")
    image, mask = Image.open(pictures / "a.png"), Image.open(pictures / "mask.png")
    recipe = base("fill", image=pictures / "a.png", mask=pictures / "mask.png", strength=strength)
    (result,) = engine.run([recipe])
    assert result.picture is not None
    expected = pipe(
        prompt=recipe.prompt, image=image, mask_image=mask, width=96, height=64, strength=strength,
        max_sequence_length=32, **given(recipe),
    ).images[0]  # fmt: skip
    inside = np.asarray(mask) == 255
    assert np.asarray(expected)[inside].std() > 5
    ours, theirs = np.asarray(result.picture, int), np.asarray(expected, int)
    assert np.abs(ours - theirs)[inside].max() <= 1
    assert (ours == np.asarray(image, int))[~inside].all()


def test_fill_outpaints_by_margins(engine: Engine, catalog: ModelCatalog, pictures: Path) -> None:
    """The pipeline takes the padded picture and the mask of the margins; what is under them does not matter to it."""
    pipe = stock(catalog.model("fill"), "FluxFillPipeline")
    recipe = base("fill", image=pictures / "a.png", margins=(0, 16, 32, 0))
    (result,) = engine.run([recipe])
    assert result.picture is not None
    wide, mask = Image.new("RGB", (128, 80), (9, 200, 70)), np.full((80, 128), 255, np.uint8)
    wide.paste(Image.open(pictures / "a.png"), (0, 16))
    mask[16:, :96] = 0
    expected = pipe(
        prompt=recipe.prompt, image=wide, mask_image=Image.fromarray(mask), width=128, height=80,
        max_sequence_length=32, **given(recipe),
    ).images[0]  # fmt: skip
    ours, theirs = np.asarray(result.picture, int), np.asarray(expected, int)
    assert np.abs(ours - theirs)[mask == 255].max() <= 1
    assert (ours[16:, :96] == np.asarray(Image.open(pictures / "a.png"), int)).all()


def test_fill_refuses_what_it_cannot_do_and_names_who_can(catalog: ModelCatalog) -> None:
    with pytest.raises(RecipeError, match=r"fill cannot do text-to-image\. It does: inpaint, outpaint\. .*flux2-klein"):
        resolve(base("fill"), catalog)


@pytest.mark.parametrize("kind", ["map", "canny", "depth"])
def test_control_equals_the_pipeline(engine: Engine, catalog: ModelCatalog, pictures: Path, kind: Any) -> None:
    pipe = stock(catalog.model("control"), "FluxControlPipeline")
    recipe = base("control", control=pictures / "a.png", control_type=kind, width=64, height=80)
    (result,) = engine.run([recipe])
    assert result.error is None
    from workbench.models.companions import load_depth

    estimator = load_depth(catalog.companion(DEPTH), "cpu") if kind == "depth" else None
    seen = control_map(Image.open(pictures / "a.png"), kind, 64, 80, estimator)
    assert np.asarray(seen).std() > 5
    expected = pipe(
        prompt=recipe.prompt, control_image=seen, width=64, height=80, max_sequence_length=32, **given(recipe)
    ).images[0]
    assert difference(result.picture, expected) <= 1


def test_edges_are_those_of_the_picture() -> None:
    picture = Image.new("RGB", (64, 64))
    picture.paste((255, 255, 255), (16, 16, 48, 48))
    found = np.asarray(edges(picture).convert("L"))
    down, across = np.nonzero(found)
    assert set(np.unique(found)) == {0, 255}
    assert min(down.min(), across.min()) >= 14
    assert max(down.max(), across.max()) <= 49
    assert (found[20:44, 20:44] == 0).all()


def test_control_is_asked_for_in_full(engine: Engine, catalog: ModelCatalog, pictures: Path) -> None:
    photo = pictures / "a.png"
    with pytest.raises(RecipeError, match="Set control_type to one of: canny, depth, map"):
        resolve(base("control", control=photo), catalog)
    with pytest.raises(RecipeError, match="but no control picture"):
        resolve(base("control", control_type="canny"), catalog)
    with pytest.raises(RecipeError, match="control cannot do text-to-image"):
        resolve(base("control"), catalog)
    with pytest.raises(RecipeError, match=r"fill cannot do control.* flux1-control"):
        resolve(base("fill", control=photo, control_type="map"), catalog)
    (result,) = engine.run([base("dev", control=photo, control_type="map")])
    assert isinstance(result.error, ControlError)
    assert "control LoRA" in result.error.remedy


@pytest.mark.parametrize(("names", "weights"), [(["a"], [None]), (["a", "b"], [0.3, 0.9]), (["b", "a"], [None, None])])
def test_redux_equals_the_pipeline(
    engine: Engine, catalog: ModelCatalog, pictures: Path, names: list[str], weights: list[float | None]
) -> None:
    dev = stock(catalog.model("dev"), "FluxPipeline")
    prior = stock(_At(catalog.companion(REDUX)), "FluxPriorReduxPipeline")
    prior.register_modules(
        text_encoder=dev.text_encoder, tokenizer=dev.tokenizer, text_encoder_2=dev.text_encoder_2,
        tokenizer_2=dev.tokenizer_2,
    )  # fmt: skip
    prior.tokenizer_max_length = dev.tokenizer.model_max_length
    redux = [{"picture": str(pictures / f"{name}.png"), "weight": w} for name, w in zip(names, weights, strict=True)]
    recipe = base("dev", redux=redux, width=64, height=64, steps=2, max_sequence_length=LENGTH)
    (result,) = engine.run([recipe])
    scales = [1 / len(names) if weight is None else weight for weight in weights]
    images = [Image.open(pictures / f"{name}.png").convert("RGB") for name in names]
    text = prior(
        images, prompt=[recipe.prompt] * len(names), prompt_embeds_scale=scales, pooled_prompt_embeds_scale=scales
    )
    expected = dev(**text, width=64, height=64, **given(recipe)).images[0]
    assert difference(result.picture, expected) <= 1
    (plain,) = engine.run([recipe.replace(redux=())])
    assert difference(result.picture, plain.picture) > 1


class _At:
    def __init__(self, path: Path) -> None:
        self.path = path


def test_a_batch_may_mix_variations_and_plain_pictures(catalog: ModelCatalog, engine: Engine, pictures: Path) -> None:
    common = {"width": 64, "height": 64, "steps": 2}
    recipes = [
        base("dev", **common),
        base("dev", redux=[pictures / "a.png"], seed=7, **common),
        base("dev", redux=[pictures / "b.png"], negative_prompt="x", true_cfg_scale=2.0, **common),
    ]
    together = {result.index: result for result in engine.run(recipes)}
    alone = Engine(catalog, device="cpu", batch_size=1)
    for index, recipe in enumerate(recipes):
        (result,) = alone.run([recipe])
        assert result.error is None
        assert difference(together[index].picture, result.picture) <= 1


def test_a_missing_companion_is_named(catalog: ModelCatalog, pictures: Path, tmp_path: Path) -> None:
    bare = ModelCatalog(tmp_path, catalog.extra, device="cpu")
    with pytest.raises(CompanionError, match="black-forest-labs/FLUX"):
        resolve(base("dev", redux=[pictures / "a.png"]), bare)
    with pytest.raises(CompanionError, match="depth-anything/Depth"):
        resolve(base("control", control=pictures / "a.png", control_type="depth"), bare)


def test_companions_decide_the_digest(catalog: ModelCatalog, pictures: Path, tmp_path: Path) -> None:
    recipe = base("dev", redux=[pictures / "a.png"])
    write_redux(tmp_path / "models" / REDUX, seed=6)
    other = ModelCatalog(tmp_path, catalog.extra, device="cpu")
    assert resolve(recipe, catalog).digest != resolve(recipe, other).digest
    assert resolve(recipe.replace(redux=()), catalog).digest == resolve(recipe.replace(redux=()), other).digest


def test_a_companion_that_was_replaced_is_loaded_anew(catalog: ModelCatalog, pictures: Path, tmp_path: Path) -> None:
    recipe = base("dev", redux=[pictures / "a.png"], width=64, height=64, steps=2)
    engine = Engine(ModelCatalog(tmp_path, catalog.extra, device="cpu", recheck=0), device="cpu")
    seen = []
    for seed in (6, 7, 6):
        write_redux(tmp_path / "models" / REDUX, seed=seed)
        (result,) = engine.run([recipe])
        seen.append(result)
    assert seen[0].digest == seen[2].digest != seen[1].digest
    assert difference(seen[0].picture, seen[2].picture) == 0
    assert difference(seen[0].picture, seen[1].picture) > 1
