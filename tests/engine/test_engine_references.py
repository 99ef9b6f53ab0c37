"""References against `Flux2KleinPipeline(image=[...])`, and what holds beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TinyKlein
from tests.engine.pictures import difference, draw, pipeline
from workbench.engine import Engine
from workbench.engine.latents import reference_ids
from workbench.engine.memory import row_bytes
from workbench.engine.plan import make_plan
from workbench.models import ModelCatalog
from workbench.models.catalog import EMBEDDED
from workbench.recipe import Recipe
from workbench.recipe.conditions import Reference

BASE = Recipe(model="tiny-base", prompt="a red circle", width=64, height=80, steps=4, guidance_scale=3.0)
SIZES = [(64, 64), (100, 75), (64, 131), (200, 90)]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Pictures of different sizes and content."""
    paths = []
    for number, size in enumerate(SIZES):
        path = tmp_path / f"{number}.png"
        draw(number, *size).save(path)
        paths.append(str(path))
    return paths


def stock(pipe: Any, model: Any, recipe: Recipe, pictures: Sequence[Image.Image]) -> Image.Image:
    picture: Image.Image = pipe(
        prompt=recipe.prompt,
        image=pictures,
        width=recipe.width,
        height=recipe.height,
        num_inference_steps=recipe.steps,
        guidance_scale=recipe.guidance_scale,
        generator=torch.Generator().manual_seed(recipe.seed),
        max_sequence_length=model.max_sequence_length,
        text_encoder_out_layers=model.family.text_layers,
    ).images[0]
    return picture


@pytest.mark.parametrize("name", ["tiny-base", "tiny-distilled"])
def test_pictures_equal_the_pipeline(
    tiny_engine: Engine, tiny_catalog: ModelCatalog, files: list[str], name: str
) -> None:
    model = tiny_catalog.model(name)
    pipe = pipeline(model)
    recipes = [BASE.replace(model=name, references=files[:count], seed=count) for count in (1, 2, 3, 4)]
    plain = BASE.replace(model=name, seed=1)
    results = {result.index: result for result in tiny_engine.run([*recipes, plain])}
    for index, recipe in enumerate(recipes):
        assert results[index].error is None
        pictures = [Image.open(path) for path in files[: len(recipe.references)]]
        expected = stock(pipe, model, recipe, pictures)
        assert np.asarray(expected).std() > 5  # a flat picture would prove nothing
        assert difference(results[index].picture, expected) <= 1
    assert difference(results[0].picture, results[4].picture) > 10  # the reference acts


def test_a_large_reference_is_scaled_as_the_pipeline_does(
    tiny_klein: TinyKlein, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline's limit of one megapixel, put down to the family's so that the test stays small."""
    from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor

    catalog = ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")
    model = catalog.model("tiny-base")
    large = draw(5, 700, 333)
    large.save(tmp_path / "large.png")
    (result,) = Engine(catalog, device="cpu").run([BASE.replace(references=str(tmp_path / "large.png"))])
    shrunk = Flux2ImageProcessor._resize_to_target_area(large, model.reference_pixels)
    assert shrunk.width * shrunk.height <= model.reference_pixels
    assert difference(result.picture, stock(pipeline(model), model, BASE, [shrunk])) <= 1
    assert result.resolved is not None
    assert result.resolved.recipe.references[0].size == "368x176"


def test_the_order_of_references_counts(tiny_engine: Engine, files: list[str]) -> None:
    one, two = tiny_engine.run([BASE.replace(references=files[:2]), BASE.replace(references=files[1::-1])])
    assert one.digest != two.digest
    assert difference(one.picture, two.picture) > 5


def test_a_reference_twice_is_encoded_once_and_read_twice(tiny_catalog: ModelCatalog, files: list[str]) -> None:
    engine = Engine(tiny_catalog, device="cpu", batch_size=2)
    recipes = [BASE.replace(references=[files[0], files[0]], seed=seed) for seed in (1, 2)]
    recipes.append(BASE.replace(references=[files[0]]))
    first = {result.index: result for result in engine.run(recipes)}
    assert engine.pictures.encoded == 1
    assert difference(first[0].picture, first[2].picture) > 5
    again = {result.index: result for result in Engine(tiny_catalog, device="cpu", batch_size=2).run(recipes)}
    assert all(difference(first[index].picture, again[index].picture) == 0 for index in first)


def test_a_picture_does_not_depend_on_its_neighbours(
    tiny_catalog: ModelCatalog, files: list[str], tmp_path: Path
) -> None:
    same = tmp_path / "same-shape.png"
    draw(9, 100, 75).save(same)  # of the shape of file 1, so that both share a batch
    recipes = [
        BASE.replace(references=[files[1]], seed=1),
        BASE.replace(references=[same], seed=2, guidance_scale=1.0),
        BASE.replace(references=[files[1]], prompt="blue", seed=3, steps=2),
        BASE.replace(references=[files[0], files[1]], seed=1),
        BASE.replace(seed=1),
    ]
    assert [len(group.jobs) for group in make_plan(recipes, tiny_catalog).groups] == [3, 1, 1]
    together = {result.index: result for result in Engine(tiny_catalog, device="cpu", batch_size=5).run(recipes)}
    alone = Engine(tiny_catalog, device="cpu", batch_size=1)
    for index, recipe in enumerate(recipes):
        (result,) = alone.run([recipe])
        assert difference(together[index].picture, result.picture) <= 1


def test_sizes_other_than_fitted(tiny_engine: Engine, tiny_catalog: ModelCatalog, files: list[str]) -> None:
    """`exact` where nothing would change is the same recipe; an explicit size is another."""
    recipes = [
        BASE.replace(references=[Reference(picture=files[0], size=size)])
        for size in ("fit", "exact", "64x64", "128x96")
    ]
    results = {result.index: result for result in tiny_engine.run(recipes)}
    assert len({results[index].digest for index in (0, 1, 2)}) == 1
    assert difference(results[0].picture, results[3].picture) > 5
    expected = Image.open(files[0]).resize((128, 128), Image.Resampling.LANCZOS).crop((0, 16, 128, 112))
    model = tiny_catalog.model("tiny-base")
    assert difference(results[3].picture, stock(pipeline(model), model, BASE, [expected])) <= 1


def test_position_ids_are_the_pipelines() -> None:
    from diffusers import Flux2KleinPipeline

    sizes = [(4, 6), (8, 2), (3, 3)]
    latents = [torch.zeros(1, 16, *size) for size in sizes]
    assert torch.equal(reference_ids(sizes), Flux2KleinPipeline._prepare_image_ids(latents)[0])
    assert reference_ids([]).shape == (0, 4)


def test_the_memory_estimate_counts_reference_tokens(tiny_catalog: ModelCatalog, files: list[str]) -> None:
    model = tiny_catalog.model("tiny-base")
    shapes = [make_plan([BASE.replace(references=files[:count])], tiny_catalog).groups[0].shape for count in (0, 1, 2)]
    none, one, two = (row_bytes(model, shape, 4, guided=False) for shape in shapes)
    tokens = [64 * 80 // 256 + model.max_sequence_length, 64 * 64 // 256, 96 * 64 // 256]
    assert (one - none) * tokens[0] == none * tokens[1]
    assert (two - one) * tokens[0] == none * tokens[2]


@pytest.mark.parametrize("name", sorted(index.parent.name for index in EMBEDDED.glob("*/model_index.json")))
def test_embedded_pictures_equal_the_pipeline(tmp_path: Path, name: str) -> None:
    catalog = ModelCatalog(tmp_path, device="cpu")
    model = catalog.model(name)
    paths = []
    for number, size in enumerate([(128, 128), (96, 144)]):
        paths.append(tmp_path / f"{number}.png")
        draw(number, *size).save(paths[-1])
    recipe = Recipe(
        model=name, prompt="make the circle blue", references=paths, seed=3, steps=3, width=128, height=128,
        guidance_scale=model.guidance_scale,
    )  # fmt: skip
    (result,) = Engine(catalog, device="cpu").run([recipe])
    assert difference(result.picture, stock(pipeline(model), model, recipe, [Image.open(path) for path in paths])) <= 1
