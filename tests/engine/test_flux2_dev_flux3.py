"""FLUX.2 [dev] and FLUX.3 [klein]: our pictures are those of diffusers' pipelines, what it lacks are properties."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from tests.engine.pictures import difference, draw
from tests.engine.tiny_families import write_dev, write_flux3
from workbench.engine import Engine
from workbench.engine.conditions import encode_picture
from workbench.engine.decode import decode
from workbench.engine.text import tokenize
from workbench.errors import RecipeError
from workbench.models import ModelCatalog
from workbench.models.loading import load
from workbench.recipe import Recipe, resolve

CPU = torch.device("cpu")
MODELS = ["tiny-dev", "tiny-3", "tiny-3-base"]
LENGTH = {"tiny-dev": 400}  # text tokens of the tests; the system message of [dev] is long


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("families")
    write_dev(root / "tiny-dev", seed=1)
    write_flux3(root / "tiny-3", seed=2, flow_map=True)
    write_flux3(root / "tiny-3-base", seed=3, flow_map=False)
    for number, size in enumerate([(96, 64), (70, 100), (128, 128), (64, 64), (80, 112)]):
        draw(number, *size).save(root / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def engine(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    catalog = ModelCatalog(tmp_path_factory.mktemp("home"), root, device="cpu")
    return Engine(catalog, device="cpu", batch_size=4)


def recipe(name: str, **fields: Any) -> Recipe:
    own = {"model": name, "prompt": "a red circle", "width": 64, "height": 96, "steps": 3, "seed": 5}
    return Recipe(**own | {"max_sequence_length": LENGTH.get(name, 160)} | fields)


def run(engine: Engine, *recipes: Recipe) -> list[Image.Image]:
    results = sorted(engine.run(list(recipes)), key=lambda result: result.index)
    assert [result.error for result in results] == [None] * len(recipes)
    return [result.picture for result in results if result.picture is not None]


@pytest.fixture(scope="module")
def stock(root: Path) -> Any:
    """Draws a recipe with diffusers' pipeline of a model."""
    pipelines: dict[str, Any] = {}

    def draw_with(name: str, asked: Recipe) -> Image.Image:
        if name not in pipelines:
            pipelines[name] = dev_pipeline(root / name) if name == "tiny-dev" else modular_pipeline(root / name)
        pipe = pipelines[name]
        images = [Image.open(reference.picture) for reference in asked.references]
        fields: dict[str, Any] = {"prompt": asked.prompt, "width": asked.width, "height": asked.height}
        fields |= {"num_inference_steps": asked.steps, "generator": torch.Generator().manual_seed(asked.seed)}
        fields |= {"max_sequence_length": asked.max_sequence_length} | ({"image": images} if images else {})
        if name == "tiny-dev":
            return pipe(**fields, guidance_scale=asked.guidance_scale or 4.0).images[0]  # type: ignore[no-any-return]
        if name == "tiny-3-base":
            pipe.guider.guidance_scale = asked.guidance_scale or 4.0
            fields["negative_prompt"] = asked.negative_prompt
        return pipe(**fields).images[0]  # type: ignore[no-any-return]

    return draw_with


def components(folder: Path) -> dict[str, Any]:
    import transformers
    from diffusers import AutoencoderKLFlux2

    encoders = {"tiny-dev": transformers.Mistral3ForConditionalGeneration}
    encoder = encoders.get(folder.name, transformers.Qwen3VLForConditionalGeneration)
    return {
        "vae": AutoencoderKLFlux2.from_pretrained(folder / "vae"),
        "text_encoder": encoder.from_pretrained(folder / "text_encoder").eval(),
    }


def dev_pipeline(folder: Path) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, Flux2Pipeline, Flux2Transformer2DModel
    from transformers import AutoTokenizer

    pipe = Flux2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        transformer=Flux2Transformer2DModel.from_pretrained(folder / "transformer"),
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        **components(folder),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def modular_pipeline(folder: Path) -> Any:
    from diffusers import Flux3Transformer2DModel
    from diffusers.modular_pipelines import Flux3AutoBlocks
    from diffusers.modular_pipelines.flux3 import Flux3DistilledAutoBlocks
    from transformers import AutoTokenizer

    blocks = Flux3AutoBlocks() if folder.name == "tiny-3-base" else Flux3DistilledAutoBlocks()
    blocks.sub_blocks.pop("prompt_upsampler")
    pipe = blocks.init_pipeline()
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    processor = SimpleNamespace(tokenizer=tokenizer, apply_chat_template=tokenizer.apply_chat_template)
    transformer = Flux3Transformer2DModel.from_pretrained(folder / "transformer")
    pipe.update_components(transformer=transformer, **components(folder))
    pipe.tokenizer = processor  # a real one wants torchvision, for pictures that no prompt has
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", MODELS)
def test_the_picture_is_the_pipelines(engine: Engine, stock: Any, name: str) -> None:
    asked = recipe(name)
    (ours,) = run(engine, asked)
    assert difference(ours, stock(name, asked)) <= 1


@pytest.mark.parametrize(("name", "scale"), [("tiny-dev", 1.5), ("tiny-dev", 7.0), ("tiny-3-base", 2.0)])
def test_guidance_is_the_pipelines(engine: Engine, stock: Any, name: str, scale: float) -> None:
    """For [dev] the scale is an input, also at 1; for the base a second pass, whose text has a window of its own."""
    negative = "blurry " * 20 if name == "tiny-3-base" else ""
    asked = recipe(name, guidance_scale=scale, negative_prompt=negative)
    (ours,) = run(engine, asked)
    assert difference(ours, stock(name, asked)) <= 1
    (other,) = run(engine, recipe(name))
    assert difference(ours, other) > 1


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("name", MODELS)
def test_references_are_the_pipelines(engine: Engine, stock: Any, root: Path, name: str, count: int) -> None:
    """Sizes that are no multiples, several shapes; FLUX.3 keeps a single one whole and cuts several."""
    chosen = [[1], [0, 1], [0, 1, 2, 3, 4]][{1: 0, 2: 1, 5: 2}[count]]
    asked = recipe(name, references=[root / f"{number}.png" for number in chosen])
    (ours,) = run(engine, asked)
    assert difference(ours, stock(name, asked)) <= 1
    (plain,) = run(engine, recipe(name))
    assert difference(ours, plain) > 1


@pytest.mark.parametrize("length", [80, 100, 400])
def test_long_prompts_are_cut_as_in_the_pipeline(engine: Engine, stock: Any, length: int) -> None:
    asked = recipe("tiny-3", prompt="many words " * 20, max_sequence_length=length)
    (ours,) = run(engine, asked)
    assert difference(ours, stock("tiny-3", asked)) <= 1


def test_a_prompts_window_is_a_multiple_of_80(engine: Engine) -> None:
    parts = load(engine._catalog.model("tiny-3"), "float32", CPU)
    assert tokenize(parts, "a", 8192).ids.shape[1] == 80
    long = tokenize(parts, "a" * 200, 8192)
    assert (long.ids.shape[1], long.lost) == (240, 0)
    cut = tokenize(parts, "a" * 200, 100)
    assert (cut.ids.shape[1], cut.lost) == (100, long.total - 100)


@pytest.mark.parametrize("name", MODELS)
def test_a_picture_does_not_depend_on_its_neighbours(engine: Engine, root: Path, name: str) -> None:
    """Prompts of other lengths, other seeds and steps in one batch."""
    recipes = [
        recipe(name, references=[root / "0.png"]),
        recipe(name, references=[root / "0.png"], seed=6, steps=4),
        recipe(name, references=[root / "0.png"], prompt="many words " * 9),
    ]
    together = run(engine, *recipes)
    assert difference(together[0], together[1]) > 1
    assert difference(together[0], together[2]) > 1
    for alone, one in zip(recipes, together, strict=True):
        assert difference(run(engine, alone)[0], one) <= 1


@pytest.mark.parametrize("name", MODELS)
def test_starting_from_a_picture(engine: Engine, root: Path, name: str) -> None:
    """Strength 0 is the picture through the VAE, 1 is the recipe without it, and in between it moves away."""
    own = {"image": root / "0.png", "width": None, "height": None, "steps": 5}
    zero, little, much = run(engine, *(recipe(name, **own, strength=strength) for strength in (0, 0.4, 0.9)))
    parts = load(engine._catalog.model(name), "float32", CPU)
    with Image.open(root / "0.png") as picture:
        assert difference(zero, decode(parts, encode_picture(parts, picture), 4, 6)) == 0
    far = [sum(abs(a - b) for a, b in zip(one.tobytes(), zero.tobytes(), strict=True)) for one in (little, much)]
    assert 0 < far[0] < far[1]
    whole = recipe(name, **own, strength=1)
    plain = recipe(name, width=96, height=64, steps=5)
    assert resolve(whole, engine._catalog).digest == resolve(plain, engine._catalog).digest


@pytest.mark.parametrize("name", MODELS)
def test_pixels_outside_the_mask_stay(engine: Engine, root: Path, tmp_path: Path, name: str) -> None:
    mask = Image.new("L", (96, 64))
    mask.paste(255, (32, 16, 70, 48))
    mask.save(tmp_path / "mask.png")
    (ours,) = run(engine, recipe(name, image=root / "0.png", mask=tmp_path / "mask.png", width=None, height=None))
    with Image.open(root / "0.png") as picture:
        for box in [(0, 0, 32, 64), (70, 0, 96, 64), (32, 0, 70, 16), (32, 48, 70, 64)]:
            assert difference(ours.crop(box), picture.crop(box)) == 0
        assert difference(ours.crop((32, 16, 70, 48)), picture.crop((32, 16, 70, 48))) > 5


def test_a_single_reference_is_kept_whole_on_its_canvas(engine: Engine, root: Path) -> None:
    catalog = engine._catalog
    (alone,) = resolve(recipe("tiny-3", references=[root / "1.png"]), catalog).recipe.references
    assert alone.pixels == (80, 112)  # 70 x 100, rounded up
    pair = resolve(recipe("tiny-3", references=[root / "1.png", root / "0.png"]), catalog).recipe.references
    assert pair[0].pixels == (64, 96)  # rounded down


def test_what_a_family_cannot_do_is_refused(engine: Engine, root: Path) -> None:
    with pytest.raises(RecipeError, match="true_cfg_scale"):
        resolve(recipe("tiny-dev", true_cfg_scale=3), engine._catalog)
    with pytest.raises(RecipeError, match="references"):
        Recipe.parse({"model": "tiny-dev", "references": [str(root / "0.png")] * 11})
