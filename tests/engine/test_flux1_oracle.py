"""FLUX.1 dev, schnell and Kontext against the pipelines of diffusers: same weights, seed and settings, same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import write_adapter
from tests.engine.pictures import difference, draw
from tests.flux1_models import stock, write_flux1
from workbench.engine import Engine, Step
from workbench.engine.decode import decode
from workbench.engine.kinds.flux1 import Flux1, moments, sample
from workbench.engine.preview import CELLS
from workbench.engine.text import encode, tokenize
from workbench.errors import RecipeError
from workbench.models import ModelCatalog
from workbench.models.loading import load
from workbench.recipe import Recipe, resolve

CPU = torch.device("cpu")
LENGTH = 32


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> ModelCatalog:
    root = tmp_path_factory.mktemp("flux1")
    write_flux1(root / "dev", seed=1)
    write_flux1(root / "schnell", seed=2, guidance=False)
    write_flux1(root / "kontext", seed=3, pipeline="FluxKontextPipeline")
    return ModelCatalog(tmp_path_factory.mktemp("home"), root, device="cpu")


@pytest.fixture(scope="module")
def engine(catalog: ModelCatalog) -> Engine:
    return Engine(catalog, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    draw(1, 96, 64).save(path)
    return path


def given(recipe: Recipe, **more: Any) -> dict[str, Any]:
    """Arguments that all the pipelines take."""
    return {
        "prompt": recipe.prompt,
        "num_inference_steps": recipe.steps,
        "guidance_scale": recipe.guidance_scale,
        "generator": torch.Generator().manual_seed(recipe.seed),
        "max_sequence_length": recipe.max_sequence_length,
        **more,
    }


def base(model: str, **fields: Any) -> Recipe:
    values = {"prompt": "a red circle", "seed": 5, "width": 64, "height": 96, "steps": 4, "guidance_scale": 3.5}
    return Recipe(model=model, max_sequence_length=LENGTH, **(values | fields))


def test_families_are_told_by_their_files(catalog: ModelCatalog) -> None:
    models = {model.name: model for model in catalog.models() if model.family.kind == "flux1"}
    assert {name: model.family.name for name, model in models.items()} == {
        "dev": "flux1-dev", "schnell": "flux1-schnell", "kontext": "flux1-kontext",
    }  # fmt: skip
    assert (models["dev"].steps, models["dev"].guidance_scale, models["dev"].max_sequence_length) == (28, 3.5, 512)
    assert (models["schnell"].steps, models["schnell"].max_sequence_length) == (4, 256)
    assert models["schnell"].is_distilled


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_are_bit_equal(catalog: ModelCatalog, precision: Any) -> None:
    model = catalog.model("dev")
    parts = load(model, precision, CPU)
    pipe = stock(model, "FluxPipeline", parts.dtype)
    for prompt in ("a red circle", "", "long " * 60):
        with torch.no_grad():
            embeds, pooled, _ = pipe.encode_prompt(prompt, max_sequence_length=64)
        ours = encode(parts, tokenize(parts, prompt, 64))
        assert ours.pooled is not None
        assert torch.equal(ours.embeds, embeds)
        assert torch.equal(ours.pooled, pooled)
    assert tokenize(parts, "long " * 60, 64).lost == len("long") * 60 + 60 + 1 - 64


@pytest.mark.parametrize("model", ["dev", "schnell"])
def test_pictures_equal_the_pipeline(engine: Engine, catalog: ModelCatalog, model: str) -> None:
    pipe = stock(catalog.model(model), "FluxPipeline")
    recipes = [base(model), base(model, prompt="", seed=2**40, width=128, height=64, steps=2, guidance_scale=1.0)]
    for result in engine.run(recipes):
        assert result.error is None
        recipe = result.recipe
        expected = pipe(**given(recipe, width=recipe.width, height=recipe.height)).images[0]
        assert np.asarray(expected).std() > 5  # a flat picture would prove nothing
        assert difference(result.picture, expected) <= 1


def test_guidance_is_an_input_and_acts_below_one(engine: Engine) -> None:
    results = {result.index: result for result in engine.run([base("dev", guidance_scale=g) for g in (0.5, 1.0, 6.0)])}
    assert difference(results[0].picture, results[1].picture) > 1
    assert difference(results[1].picture, results[2].picture) > 1


@pytest.mark.parametrize("model", ["dev", "schnell"])
def test_true_guidance_equals_the_pipeline(engine: Engine, catalog: ModelCatalog, model: str) -> None:
    pipe = stock(catalog.model(model), "FluxPipeline")
    recipe = base(model, negative_prompt="blue square", true_cfg_scale=3.0)
    (result,) = engine.run([recipe])
    more = {"negative_prompt": "blue square", "true_cfg_scale": 3.0, "width": 64, "height": 96}
    assert difference(result.picture, pipe(**given(recipe, **more)).images[0]) <= 1
    (plain,) = engine.run([base(model)])
    assert difference(result.picture, plain.picture) > 5


def test_what_cannot_act_leaves_no_trace(catalog: ModelCatalog, tiny_catalog: ModelCatalog) -> None:
    plain = resolve(base("dev"), catalog).digest
    assert resolve(base("dev", negative_prompt="blue", true_cfg_scale=1.0), catalog).digest == plain
    assert resolve(base("dev", guidance_scale=3.0), catalog).digest != plain
    assert resolve(base("schnell"), catalog).digest == resolve(base("schnell", guidance_scale=1.0), catalog).digest
    with pytest.raises(RecipeError, match="takes no true_cfg_scale"):
        resolve(Recipe(model="tiny-base", true_cfg_scale=2.0), tiny_catalog)


@pytest.mark.parametrize("strength", [0.4, 0.8])
def test_image_to_image_equals_the_pipeline(
    engine: Engine, catalog: ModelCatalog, photo: Path, strength: float
) -> None:
    pipe = stock(catalog.model("dev"), "FluxImg2ImgPipeline")
    recipe = base("dev", image=photo, strength=strength, width=96, height=64, steps=5)
    (result,) = engine.run([recipe])
    more = {"image": Image.open(photo), "strength": strength, "width": 96, "height": 64}
    assert difference(result.picture, pipe(**given(recipe, **more)).images[0]) <= 1


def test_inpainting_equals_the_pipeline_inside_the_mask(
    engine: Engine, catalog: ModelCatalog, photo: Path, tmp_path: Path
) -> None:
    """Masked on whole tokens; outside our pixels are the image's, which the pipeline passes through the VAE."""
    pipe = stock(catalog.model("dev"), "FluxInpaintPipeline")
    levels = np.zeros((64, 96), np.uint8)
    levels[16:48, 32:80] = 255
    mask = tmp_path / "mask.png"
    Image.fromarray(levels).save(mask)
    recipe = base("dev", image=photo, mask=mask, strength=0.8, width=None, height=None, steps=5)
    (result,) = engine.run([recipe])
    assert result.picture is not None
    more = {"image": Image.open(photo), "mask_image": Image.fromarray(levels), "strength": 0.8}
    expected = pipe(**given(recipe, width=96, height=64, **more)).images[0]
    inside, outside = levels == 255, levels == 0
    ours, theirs = np.asarray(result.picture, int), np.asarray(expected, int)
    assert np.abs(ours - theirs)[inside].max() <= 1
    assert (ours == np.asarray(Image.open(photo), int))[outside].all()


@pytest.mark.parametrize("size", ["exact", "64x80"])
def test_a_reference_equals_the_kontext_pipeline(engine: Engine, catalog: ModelCatalog, photo: Path, size: str) -> None:
    pipe = stock(catalog.model("kontext"), "FluxKontextPipeline")
    recipe = base("kontext", references=[{"picture": str(photo), "size": size}])
    (result,) = engine.run([recipe])
    picture = Image.open(photo) if size == "exact" else draw(1, 96, 64)
    if size != "exact":
        from workbench.engine.canvas import cover

        picture = cover(picture, 64, 80)
    more = {"image": picture, "width": 64, "height": 96, "max_area": 64 * 96, "_auto_resize": False}
    assert difference(result.picture, pipe(**given(recipe, **more)).images[0]) <= 1
    (without,) = engine.run([base("kontext")])
    assert difference(result.picture, without.picture) > 5


def test_a_fitted_reference_has_a_preferred_size(engine: Engine, catalog: ModelCatalog, photo: Path) -> None:
    """At the size that the pipeline chooses; one step, as the reference has 4056 tokens."""
    pipe = stock(catalog.model("kontext"), "FluxKontextPipeline")
    recipe = base("kontext", references=[photo], steps=1)
    assert resolve(recipe, catalog).recipe.references[0].size == "1248x832"
    (result,) = engine.run([recipe])
    more = {"image": Image.open(photo), "width": 64, "height": 96, "max_area": 64 * 96}
    assert difference(result.picture, pipe(**given(recipe, **more)).images[0]) <= 1


def test_a_picture_does_not_depend_on_its_neighbours(catalog: ModelCatalog, engine: Engine, photo: Path) -> None:
    recipes = [
        base("dev"),
        base("dev", prompt="blue", seed=9, steps=2, guidance_scale=7.0),
        base("dev", negative_prompt="x", true_cfg_scale=2.0, seed=3),
        base("dev", image=photo, strength=0.5, seed=4),
    ]
    together = {result.index: result for result in engine.run(recipes)}
    alone = Engine(catalog, device="cpu", batch_size=1)
    for index, recipe in enumerate(recipes):
        (result,) = alone.run([recipe])
        assert difference(together[index].picture, result.picture) <= 1


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
def test_adapters_equal_the_pipeline(catalog: ModelCatalog, tmp_path: Path) -> None:
    model = catalog.model("dev")
    path = write_adapter(tmp_path / "plain.safetensors", model.path, rank=4, seed=1)
    pipe = stock(model, "FluxPipeline")
    pipe.load_lora_weights(path, adapter_name="plain")
    pipe.set_adapters("plain", -0.7)
    recipe = base("dev", adapters=[{"name": str(path), "weight": -0.7}])
    results = list(Engine(catalog, device="cpu").run([recipe, base("dev")]))
    with_it, without = sorted(results, key=lambda result: result.index)
    expected = pipe(**given(recipe, width=64, height=96)).images[0]
    assert difference(with_it.picture, expected) <= 1
    assert difference(with_it.picture, without.picture) > 5


def test_strength_0_is_the_image_through_the_vae(engine: Engine, catalog: ModelCatalog, photo: Path) -> None:
    """The pipelines refuse it; here it shows what the VAE makes of the image."""
    (result,) = engine.run([base("dev", image=photo, strength=0, width=96, height=64)])
    parts = load(catalog.model("dev"), "float32", CPU)
    seen = sample(moments(parts, Image.open(photo)), torch.Generator().manual_seed(5))
    assert difference(result.picture, decode(parts, Flux1().from_vae(parts, seen), 4, 6)) == 0
    (again,) = engine.run([base("dev", image=photo, strength=0, width=96, height=64, prompt="blue", steps=9)])
    assert difference(result.picture, again.picture) == 0


@pytest.mark.parametrize("other", [False, True], ids=["itself", "another"])
def test_kontext_with_a_mask_equals_its_inpaint_pipeline(
    engine: Engine, catalog: ModelCatalog, photo: Path, tmp_path: Path, *, other: bool
) -> None:
    """The pipeline looks at a reference, and at the image where none is given; ours at what the recipe lists."""
    levels = np.zeros((64, 96), np.uint8)
    levels[16:48, 32:80] = 255
    Image.fromarray(levels).save(tmp_path / "mask.png")
    draw(7, 96, 80).save(tmp_path / "other.png")
    seen = tmp_path / "other.png" if other else photo
    recipe = base(
        "kontext", image=photo, mask=tmp_path / "mask.png", strength=0.8, width=None, height=None, steps=5,
        references=[{"picture": str(seen), "size": "exact"}],
    )  # fmt: skip
    (result,) = engine.run([recipe])
    assert result.error is None
    pipe = stock(catalog.model("kontext"), "FluxKontextInpaintPipeline")
    more: dict[str, Any] = {"image_reference": Image.open(seen)} if other else {}
    expected = pipe(
        image=Image.open(photo), mask_image=Image.fromarray(levels), strength=0.8, _auto_resize=False,
        **given(recipe, **more),
    ).images[0]  # fmt: skip
    inside = levels == 255
    ours, theirs = np.asarray(result.picture, int), np.asarray(expected, int)
    assert theirs[inside].std() > 5
    assert np.abs(ours - theirs)[inside].max() <= 1


def test_kontext_edits_inside_a_mask(engine: Engine, photo: Path, tmp_path: Path) -> None:
    levels = np.zeros((64, 96), np.uint8)
    levels[10:50, 30:70] = 255
    Image.fromarray(levels).save(tmp_path / "mask.png")
    size = {"width": None, "height": None}
    fields = {"image": photo, "mask": tmp_path / "mask.png", "references": [{"picture": str(photo), "size": "exact"}]}
    (result,) = engine.run([base("kontext", **fields, **size)])
    assert result.picture is not None
    ours, given_ = np.asarray(result.picture, int), np.asarray(Image.open(photo), int)
    assert (ours[levels == 0] == given_[levels == 0]).all()
    assert np.abs(ours - given_)[levels == 255].mean() > 5


def test_references_and_their_number_are_limited(catalog: ModelCatalog, photo: Path) -> None:
    with pytest.raises(RecipeError, match=r"dev cannot do edit\..*flux2-klein"):
        resolve(base("dev", references=[photo]), catalog)
    with pytest.raises(RecipeError, match="2 references, more than kontext takes"):
        resolve(base("kontext", references=[photo, photo]), catalog)


def test_text_that_is_not_read_is_told(engine: Engine) -> None:
    (result,) = engine.run([base("dev", prompt="red " * 40, steps=1)])
    assert any("tokens were not read" in warning for warning in result.warnings)


def test_previews_follow_the_family_s_latents(engine: Engine) -> None:
    told: list[Any] = []
    list(engine.run([base("dev")], listen=told.append, previews=True))
    pictures = [event.preview for event in told if isinstance(event, Step) and event.preview is not None]
    assert pictures
    assert pictures[-1].size == (64 // 16 * CELLS, 96 // 16 * CELLS)
