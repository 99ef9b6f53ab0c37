"""Starting from a picture: strength, soft masks, margins. What diffusers has is the oracle, the rest are properties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TinyKlein
from tests.engine.pictures import difference, draw, pipeline
from workbench.engine import Engine, Step
from workbench.engine.canvas import paste_back
from workbench.engine.conditions import Conditions, encode_picture, token_mask
from workbench.engine.decode import decode
from workbench.engine.denoise import make_rows
from workbench.engine.kinds import Text
from workbench.engine.plan import Job, make_plan
from workbench.errors import InputError
from workbench.models import ModelCatalog
from workbench.models.loading import load
from workbench.recipe import Recipe, resolve

CPU = torch.device("cpu")
BASE = Recipe(model="tiny-base", prompt="a red circle", steps=5, guidance_scale=3.0, seed=4)


@pytest.fixture
def catalog(tiny_klein: TinyKlein, tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")


@pytest.fixture
def engine(catalog: ModelCatalog) -> Engine:
    return Engine(catalog, device="cpu", batch_size=4)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    draw(1, 96, 64).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def save_mask(path: Path, levels: np.ndarray[Any, Any]) -> Path:
    Image.fromarray(levels.astype(np.uint8)).save(path)
    return path


def pixels(result: Any) -> np.ndarray[Any, Any]:
    assert result.error is None, result.error
    return np.asarray(result.picture, dtype=int)


@pytest.mark.parametrize("noise", [(0.9, 1), (0.6, 2)], ids=str)  # strength, references
@pytest.mark.parametrize("name", ["tiny-base", "tiny-distilled"])
def test_inpainting_equals_the_inpaint_pipeline(
    engine: Engine, photo: Path, tmp_path: Path, name: str, noise: tuple[float, int]
) -> None:
    """The pipeline looks at the image as its first reference, takes hard masks, and keeps no pixels: compared inside."""
    levels = np.zeros((64, 96))
    levels[16:48, 32:80] = 255  # whole tokens, where its way of scaling the mask and ours agree
    mask = save_mask(tmp_path / "mask.png", levels)
    draw(2, 80, 112).save(tmp_path / "other.png")
    strength, count = noise
    references = [photo, tmp_path / "other.png"][:count]
    model = engine._catalog.model(name)
    (result,) = engine.run([BASE.replace(model=name, image=photo, mask=mask, strength=strength, references=references)])
    expected = pipeline(model, "Flux2KleinInpaintPipeline")(
        prompt=BASE.prompt,
        image=Image.open(photo),
        mask_image=Image.open(mask),
        image_reference=Image.open(references[1]) if count == 2 else None,
        strength=strength,
        num_inference_steps=BASE.steps,
        guidance_scale=BASE.guidance_scale,
        generator=torch.Generator().manual_seed(BASE.seed),
        max_sequence_length=model.max_sequence_length,
        text_encoder_out_layers=model.family.text_layers,
    ).images[0]
    box = (32, 16, 80, 48)
    assert result.picture is not None
    assert np.asarray(expected.crop(box)).std() > 5
    assert difference(result.picture.crop(box), expected.crop(box)) <= 1


def test_strength_0_returns_the_image_through_the_vae(engine: Engine, catalog: ModelCatalog, photo: Path) -> None:
    (result,) = engine.run([BASE.replace(image=photo, strength=0)])
    parts = load(catalog.model("tiny-base"), "float32", CPU)
    through = decode(parts, encode_picture(parts, Image.open(photo)), 4, 6)
    assert difference(result.picture, through) == 0


def test_strength_1_starts_from_the_same_noise_bit_for_bit(catalog: ModelCatalog, engine: Engine, photo: Path) -> None:
    """As a recipe it is the very recipe without the image; in the engine the first latents are equal."""
    whole, plain = BASE.replace(image=photo, strength=1), BASE.replace(width=96, height=64)
    assert resolve(whole, catalog).digest == resolve(plain, catalog).digest
    parts = load(catalog.model("tiny-base"), "float32", CPU)
    (group,) = make_plan([BASE.replace(image=photo, strength=0.99, steps=5)], catalog).groups
    resolved = group.jobs[0].resolved
    full = resolved.model_copy(update={"recipe": resolved.recipe.model_copy(update={"strength": 1.0})})
    job = Job(full, "", (0,))
    assert (job.start, job.steps) == (0, 5)
    text = Text(torch.zeros(1, 8, 96))
    image = encode_picture(parts, Image.open(photo))
    from_image, from_noise = (
        make_rows(parts, [job], [(text, text)], 4, 6, conditions=[Conditions(image=start)]) for start in (image, None)
    )
    assert torch.equal(from_image.latents, from_noise.latents)
    assert torch.equal(from_image.sigmas, from_noise.sigmas)


def test_more_strength_moves_further_from_the_image(engine: Engine, photo: Path) -> None:
    recipes = [BASE.replace(image=photo, strength=strength, steps=10) for strength in (0.0, 0.2, 0.5, 0.9)]
    steps: dict[str, int] = {}

    def listen(event: object) -> None:
        if isinstance(event, Step):
            steps[event.digest] = event.steps

    results = {result.index: result for result in engine.run(recipes, listen=listen)}
    distances = [np.abs(pixels(results[index]) - pixels(results[0])).mean() for index in range(4)]
    assert distances == sorted(distances)
    assert distances[3] > 5
    assert [steps.get(results[index].digest, 0) for index in range(4)] == [0, 2, 5, 9]


def test_pixels_outside_the_mask_are_the_images_bit_for_bit(engine: Engine, photo: Path, tmp_path: Path) -> None:
    levels = np.zeros((64, 96))
    levels[20:37, 11:50] = np.linspace(0, 255, 39)[None]  # soft, and not on token borders
    mask = save_mask(tmp_path / "mask.png", levels)
    recipes = [BASE.replace(image=photo, mask=mask, strength=strength) for strength in (1.0, 0.5, 0.0)]
    for result in engine.run(recipes):
        made, given = pixels(result), np.asarray(Image.open(photo), dtype=int)
        assert (made[levels == 0] == given[levels == 0]).all()
        assert np.abs(made - given)[levels > 200].mean() > 2


def test_soft_levels_blend(engine: Engine, photo: Path, tmp_path: Path) -> None:
    new, old = draw(5, 32, 32), draw(6, 32, 32)
    assert difference(paste_back(new, old, np.full((32, 32), 255, np.uint8)), new) == 0
    assert difference(paste_back(new, old, np.zeros((32, 32), np.uint8)), old) == 0
    half = np.asarray(paste_back(new, old, np.full((32, 32), 51, np.uint8)), dtype=float)
    wanted = 0.2 * np.asarray(new, dtype=float) + 0.8 * np.asarray(old, dtype=float)
    assert np.abs(half - wanted).max() <= 0.5


def test_a_token_is_drawn_as_far_as_its_highest_pixel() -> None:
    levels = np.zeros((32, 48), np.uint8)
    levels[3, 20] = 102
    levels[31, 47] = 255
    assert token_mask(levels, 16)[0, :, 0].tolist() == pytest.approx([0, 0.4, 0, 0, 0, 1])


def test_margins_keep_the_image_and_draw_around_it(engine: Engine, photo: Path) -> None:
    (result,) = engine.run([BASE.replace(image=photo, margins=(16, 5, 0, 27))])
    made, given = pixels(result), np.asarray(Image.open(photo), dtype=int)
    assert made.shape == (96, 112, 3)
    assert (made[5:69, 16:112] == given).all()
    assert made[:, :16].std() > 2


def test_margins_with_a_mask_draw_both(engine: Engine, photo: Path, tmp_path: Path) -> None:
    levels = np.zeros((64, 96))
    levels[:, 80:] = 255  # the image's right edge, so that the seam can be drawn over
    mask = save_mask(tmp_path / "mask.png", levels)
    (result,) = engine.run([BASE.replace(image=photo, margins="0,0,32,0", mask=mask)])
    made, given = pixels(result), np.asarray(Image.open(photo), dtype=int)
    assert made.shape == (64, 128, 3)
    assert (made[:, :80] == given[:, :80]).all()
    assert (made[:, 80:96] != given[:, 80:]).any()


def test_an_image_of_another_size_is_fitted_and_said(engine: Engine, photo: Path) -> None:
    (result,) = engine.run([BASE.replace(image=photo, width=64, height=64)])
    assert result.picture is not None
    assert result.picture.size == (64, 64)
    assert any("scaled and cropped from 96 x 64 to 64 x 64" in warning for warning in result.warnings)


def test_a_picture_does_not_depend_on_its_neighbours(catalog: ModelCatalog, photo: Path, tmp_path: Path) -> None:
    levels = np.zeros((64, 96))
    levels[10:40, 30:60] = 180
    mask = save_mask(tmp_path / "mask.png", levels)
    inverse = save_mask(tmp_path / "inverse.png", 255 - levels)
    base = BASE.replace(width=96, height=64)
    recipes = [
        base,
        base.replace(image=photo, strength=0.3),
        base.replace(image=photo, strength=0.0),
        base.replace(image=photo, strength=0.8, guidance_scale=1.0),
        base.replace(image=photo, mask=mask),
        base.replace(image=photo, mask=inverse, strength=0.5),
    ]
    assert [len(group.jobs) for group in make_plan(recipes, catalog).groups] == [4, 2]
    together = {result.index: result for result in Engine(catalog, device="cpu", batch_size=6).run(recipes)}
    alone = Engine(catalog, device="cpu", batch_size=1)
    for index, recipe in enumerate(recipes):
        (result,) = alone.run([recipe])
        assert difference(together[index].picture, result.picture) <= 1


def test_an_input_that_is_damaged_meanwhile_fails_that_picture_only(
    engine: Engine, catalog: ModelCatalog, photo: Path, tmp_path: Path
) -> None:
    draw(3, 96, 64).save(tmp_path / "other.png")
    good, bad = catalog.picture(str(photo)), catalog.picture(str(tmp_path / "other.png"))
    draw(4, 96, 64).save(catalog.inputs.path(bad.digest))
    one, two = (BASE.replace(image=part.digest, strength=0.5) for part in (good, bad))
    results = {result.index: result for result in engine.run([two, one])}
    assert isinstance(results[0].error, InputError)
    assert results[1].error is None
