"""Regional prompts of FLUX.1 and FLUX.3, whose blocks are told who sees which in two other ways than FLUX.2's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.engine.pictures import difference, draw
from tests.engine.tiny_families import write_flux3
from tests.flux1_models import write_flux1
from workbench.engine import Engine
from workbench.engine.kinds import Call, Layout, Text, kind_of
from workbench.engine.regions import join_texts, places_of
from workbench.errors import RecipeError
from workbench.models import ModelCatalog
from workbench.models.inputs import Inputs
from workbench.models.loading import Components, load
from workbench.recipe import Recipe, resolve
from workbench.recipe.layout import Region

MODELS = ["dev", "kontext", "three", "three-base"]
ROWS, COLUMNS = 4, 6
LEFT, RIGHT = "0,0,0.5,1: a red circle", "0.5,0,1,1: a blue square"
LONG = "a green star " * 12  # which FLUX.3 reads in a longer window


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> ModelCatalog:
    root = tmp_path_factory.mktemp("models")
    write_flux1(root / "dev", seed=1)
    write_flux1(root / "kontext", seed=2, pipeline="FluxKontextPipeline")
    write_flux3(root / "three", seed=3, flow_map=True)
    write_flux3(root / "three-base", seed=4, flow_map=False)
    return ModelCatalog(tmp_path_factory.mktemp("home"), root, device="cpu")


@pytest.fixture(scope="module")
def engine(catalog: ModelCatalog) -> Engine:
    return Engine(catalog, device="cpu", batch_size=4)


def base(model: str, **fields: Any) -> Recipe:
    values: dict[str, Any] = {"width": 16 * COLUMNS, "height": 16 * ROWS, "steps": 2, "seed": 4}
    if model in ("dev", "kontext"):
        values["max_sequence_length"] = 32
    return Recipe(model=model, **(values | fields))


def run(engine: Engine, *recipes: Recipe) -> list[Image.Image]:
    results = sorted(engine.run(list(recipes)), key=lambda result: result.index)
    assert [result.error for result in results] == [None] * len(recipes)
    return [result.picture for result in results if result.picture is not None]


@pytest.mark.parametrize("model", MODELS)
def test_a_region_that_is_all_is_the_plain_picture_bit_for_bit(engine: Engine, model: str, tmp_path: Path) -> None:
    Image.new("L", (50, 50), 255).save(tmp_path / "white.png")
    one = base(model, prompt="unread", regions=[{"mask": tmp_path / "white.png", "prompt": "a red circle"}])
    plain = base(model, prompt="a red circle")
    assert difference(*run(engine, one, plain)) == 0
    framed = base(model, prompt="unread", regions=["0,0,1,1: a red circle"])
    assert resolve(framed, engine._catalog).digest == resolve(plain, engine._catalog).digest


@pytest.mark.parametrize("model", MODELS)
def test_a_picture_with_regions_does_not_depend_on_its_neighbours(engine: Engine, model: str) -> None:
    recipes = [
        base(model, regions=[LEFT, RIGHT]),
        base(model, regions=[LEFT, f"0.5,0,1,1: {LONG}"], prompt="the rest"),
        base(model, regions=[LEFT], prompt="white"),
        base(model, prompt="plain", steps=1),
    ]
    if model == "dev":
        recipes.append(base(model, regions=[LEFT, RIGHT], true_cfg_scale=2.0, negative_prompt="blue"))
    together = run(engine, *recipes)
    assert difference(together[0], together[1]) > 1
    for recipe, picture in zip(recipes, together, strict=True):
        assert difference(run(engine, recipe)[0], picture) <= 1


def velocity(parts: Components, text: Text, latents: Tensor, references: tuple[tuple[int, int], ...]) -> Tensor:
    count = sum(rows * columns for rows, columns in references)
    ones = torch.ones(len(latents))
    call = Call(
        latents=latents, text=text, time=500 * ones, next_time=0 * ones, guidance=ones,
        layout=Layout(ROWS, COLUMNS, references),
        references=torch.ones(len(latents), count, latents.shape[2]) if count else None,
    )  # fmt: skip
    with torch.no_grad():
        return kind_of(parts).velocity(parts, call)


@pytest.mark.parametrize(
    ("model", "references"), [("dev", ()), ("kontext", ((4, 5),)), ("three", ()), ("three-base", ((4, 5),))]
)
def test_the_text_of_a_region_reaches_its_own_places_only_within_a_block(
    catalog: ModelCatalog, model: str, references: tuple[tuple[int, int], ...]
) -> None:
    """With one joint block; in FLUX.3 after all blocks of text, where the texts would mix if they were not kept apart."""
    parts = load(catalog.model(model), "float32", torch.device("cpu"))
    transformer: Any = parts.transformer
    generator = torch.Generator().manual_seed(0)
    three = model.startswith("three")
    width = transformer.config.joint_attention_dim
    pooled = None if three else torch.randn(1, transformer.config.pooled_projection_dim, generator=generator)
    lengths = (8, 11, 5, 11) if three else (8, 8, 8, 8)
    texts = [Text(torch.randn(1, length, width, generator=generator), pooled) for length in lengths]
    latents = torch.randn(1, ROWS * COLUMNS, parts.latent_channels, generator=generator)
    regions = [Region(prompt="", box=(0, 0, 0.5, 1)), Region(prompt="", box=(0.5, 0, 1, 0.5))]
    places = places_of(regions, ROWS, COLUMNS, Inputs(Path("unused")))
    one, other = join_texts(texts[:3], places), join_texts([texts[0], texts[3], texts[2]], places)
    assert one.lengths == lengths[:3]
    if three:
        transformer.single_transformer_blocks = transformer.single_transformer_blocks[:1]
    else:
        transformer.transformer_blocks = transformer.transformer_blocks[:1]
        transformer.single_transformer_blocks = nn.ModuleList()
    first, second = velocity(parts, one, latents, references), velocity(parts, other, latents, references)
    assert (first != second).any(dim=2)[0].tolist() == places[1].tolist()
    assert not any(block.attn._forward_pre_hooks for block in transformer.single_transformer_blocks)


@pytest.mark.parametrize("model", ["dev", "three"])
def test_a_mask_that_allows_all_changes_nothing(catalog: ModelCatalog, model: str) -> None:
    parts = load(catalog.model(model), "float32", torch.device("cpu"))
    text = kind_of(parts).encode(parts, kind_of(parts).tokenize(parts, "a red circle", 80))
    latents = torch.randn(1, ROWS * COLUMNS, parts.latent_channels, generator=torch.Generator().manual_seed(0))
    seen = torch.ones(1, 1, ROWS * COLUMNS, dtype=torch.bool)
    masked = velocity(parts, Text(text.embeds, text.pooled, seen), latents, ())
    torch.testing.assert_close(masked, velocity(parts, text, latents, ()), rtol=1e-4, atol=1e-5)


def test_text_of_a_region_that_is_not_read_is_told(engine: Engine) -> None:
    (result,) = engine.run([base("dev", regions=[LEFT, f"0.5,0,1,1: {LONG}"])])
    assert any("prompt of a region is too long" in warning for warning in result.warnings)


def test_regions_and_redux_are_refused_together(catalog: ModelCatalog, tmp_path: Path) -> None:
    from workbench.recipe.layout import fill_layout

    draw(1, 64, 64).save(tmp_path / "a.png")
    both = base("dev", regions=[LEFT, RIGHT], redux=[tmp_path / "a.png"])
    with pytest.raises(RecipeError, match="cannot be combined with Redux"):
        fill_layout(both, catalog.model("dev"), catalog)
