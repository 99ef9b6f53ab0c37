"""Weights in memory: shared by content, dropped least recently used first, really freed."""

from __future__ import annotations

import gc
import resource
import shutil
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import TinyKlein, write_klein
from workbench.engine import Engine, Event, Saving
from workbench.models.catalog import ModelCatalog
from workbench.models.footprint import component_bytes, model_bytes
from workbench.models.registry import Registry
from workbench.recipe import Precision, Quantisation, Recipe

CPU = torch.device("cpu")


@pytest.fixture
def catalog(tiny_klein: TinyKlein, tmp_path: Path) -> ModelCatalog:
    """The tiny models, and 'twin': tiny-base's VAE and text encoder with another transformer."""
    root = tmp_path / "models"
    for name in ("base", "distilled", "static"):
        shutil.copytree(getattr(tiny_klein, name), root / f"tiny-{name}")
    shutil.copytree(tiny_klein.base, root / "twin")
    shutil.rmtree(root / "twin" / "transformer")
    shutil.copytree(tiny_klein.static / "transformer", root / "twin" / "transformer")
    return ModelCatalog(tmp_path, root, device="cpu")


def test_equal_components_are_in_memory_once(catalog: ModelCatalog) -> None:
    registry = Registry(budget=10**9)
    base = registry.get(catalog.model("tiny-base"), "float32", CPU)
    encoder = base.text_encoder
    loaded = registry.loaded
    twin = registry.get(catalog.model("twin"), "float32", CPU)
    assert twin.vae is base.vae
    assert twin.text_encoder is encoder
    assert twin.transformer is not base.transformer
    assert registry.loaded == loaded + 1  # the transformer alone
    other = registry.get(catalog.model("tiny-base"), "bfloat16", CPU)
    assert other.vae is not base.vae


def test_without_a_budget_only_the_last_model_stays_with_what_it_shares(catalog: ModelCatalog) -> None:
    registry = Registry()
    base = registry.get(catalog.model("tiny-base"), "float32", CPU)
    vae, transformer = base.vae, base.transformer
    assert registry.get(catalog.model("tiny-base"), "float32", CPU) is base
    twin = registry.get(catalog.model("twin"), "float32", CPU)
    assert twin.vae is vae
    assert not registry.holds(catalog.model("tiny-base"), "float32")
    assert registry.holds(catalog.model("twin"), "float32")
    again = registry.get(catalog.model("tiny-base"), "float32", CPU)
    assert again.transformer is not transformer


def test_the_least_recently_used_goes_first(catalog: ModelCatalog) -> None:
    models = [catalog.model(name) for name in ("tiny-base", "tiny-distilled", "tiny-static")]
    each = sum(component_bytes(models[0], name, "float32") for name in ("transformer", "vae"))
    registry = Registry(budget=int(2.5 * each))
    registry.get(models[0], "float32", CPU)
    registry.get(models[1], "float32", CPU)
    registry.get(models[0], "float32", CPU)
    registry.get(models[2], "float32", CPU)
    assert [registry.holds(model, "float32") for model in models] == [True, False, True]
    assert registry.bytes <= registry.budget  # type: ignore[operator]


def test_a_session_keeps_what_its_setting_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench import Session

    monkeypatch.setenv("WORKBENCH_KEEP_MODELS", "0.5")
    session = Session(home=tmp_path, device="cpu")
    assert session.engine._registry.budget == 500_000_000


def test_footprint_is_what_the_loaded_weights_take(catalog: ModelCatalog) -> None:
    precisions: list[Precision] = ["float32", "bfloat16"]
    methods: list[Quantisation | None] = [None, "int8", "fp8", "nf4"]
    for precision in precisions:
        for quantisation in methods:
            model = catalog.model("tiny-base")
            registry = Registry()
            parts = registry.get(model, precision, CPU, quantisation=quantisation)
            assert parts.text_encoder is not None
            predicted = sum(model_bytes(model, precision, quantisation).values())
            # The scales of int8 and fp8, one a row, weigh something only in matrices as small as these.
            assert registry.bytes == pytest.approx(predicted, rel=0.05 if quantisation else 0.001)


def test_the_text_encoder_comes_when_a_prompt_has_to_be_encoded_and_goes_when_told(catalog: ModelCatalog) -> None:
    registry = Registry()
    model = catalog.model("tiny-base")
    parts = registry.get(model, "float32", CPU)
    small = registry.bytes
    assert parts.text_encoder is parts.text_encoder
    full = registry.bytes
    assert full - small == pytest.approx(component_bytes(model, "text_encoder", "float32"), rel=0.002)
    assert registry.drop_text() == full - small
    assert registry.bytes == small
    assert registry.get(model, "float32", CPU) is parts
    assert parts.text_encoder is not None


def test_known_prompts_need_no_text_encoder(catalog: ModelCatalog) -> None:
    recipe = Recipe(model="tiny-base", prompt="a", width=64, height=64, steps=1, guidance_scale=1)
    first = Engine(catalog, device="cpu", keep_texts=True)
    (before,) = first.run([recipe])
    second = Engine(catalog, device="cpu", keep_texts=True)
    (after,) = second.run([recipe])
    assert before.picture is not None
    assert after.picture is not None
    assert after.picture.tobytes() == before.picture.tobytes()
    kept = second._registry._parts
    assert not [key for key in kept if key[0] == "text_encoder"]


def test_where_memory_is_short_the_text_encoder_goes_before_the_steps_and_the_result_says_so(
    catalog: ModelCatalog,
) -> None:
    recipe = Recipe(model="tiny-base", prompt="a", width=64, height=64, steps=1)
    (plenty,) = Engine(catalog, device="cpu").run([recipe])
    engine = Engine(catalog, device="cpu", memory_limit=10**6)
    told: list[Event] = []
    (little,) = engine.run([recipe], listen=told.append)
    assert plenty.fallbacks == ()
    names = [type(event).__name__ for event in told]
    assert names == ["Planned", "Saving", "Step", "Finished"]  # said before the work
    assert str(told[1]).startswith("tiny-base: text encoder dropped once the prompts were encoded (")
    assert "GB are needed" in str(told[1])
    assert little.fallbacks == ("text encoder dropped once the prompts were encoded",)
    assert not [key for key in engine._registry._parts if key[0] == "text_encoder"]
    assert plenty.picture is not None
    assert little.picture is not None
    assert little.picture.tobytes() == plenty.picture.tobytes()
    (other,) = engine.run([recipe.replace(prompt="b")], listen=told.append)  # whose weights are in memory
    assert other.fallbacks == little.fallbacks
    assert isinstance(told[5], Saving)
    assert not [key for key in engine._registry._parts if key[0] == "text_encoder"]


def test_adapters_of_a_shared_transformer_do_not_leak(catalog: ModelCatalog, tiny_home: Path) -> None:
    shutil.copytree(tiny_home / "adapters", catalog.home / "adapters")
    shutil.copytree(catalog.model("tiny-base").path, catalog.home / "models" / "copy")
    recipe = Recipe(model="tiny-base", prompt="a", width=64, height=64, steps=1)
    engine = Engine(catalog, device="cpu", batch_size=1)
    with_adapter = recipe.replace(model="copy", adapters=[{"name": "plain", "weight": 2.0}])
    recipes = [recipe, with_adapter, recipe.replace(seed=1)]
    pictures = {result.index: result.picture for result in engine.run(recipes)}
    (alone,) = Engine(catalog, device="cpu", batch_size=1).run([recipe.replace(seed=1)])
    assert alone.picture is not None
    assert pictures[2] is not None
    assert pictures[2].tobytes() == alone.picture.tobytes()


def write_large(folder: Path, seed: int) -> None:
    """A tiny klein with a transformer of 20 million parameters."""
    from diffusers import Flux2Transformer2DModel

    write_klein(folder, seed=seed)
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=64, num_attention_heads=8,
        joint_attention_dim=96, timestep_guidance_channels=32, axes_dims_rope=(16, 16, 16, 16), guidance_embeds=False,
    )  # fmt: skip
    transformer.save_pretrained(folder / "transformer")


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_twenty_switches_of_models_leave_no_memory_behind(tmp_path: Path) -> None:
    """Of models of 80 MB each: what stays after twenty switches is less than half of one."""
    for seed in (1, 2):
        write_large(tmp_path / "models" / f"large-{seed}", seed)
    catalog = ModelCatalog(tmp_path, device="cpu")
    models = [catalog.model("large-1"), catalog.model("large-2")]
    size = sum(model_bytes(models[0], "float32").values())
    registry = Registry()

    def switch(number: int) -> None:
        parts = registry.get(models[number % 2], "float32", CPU)
        assert number % 4 or parts.text_encoder is not None

    for number in range(2):
        switch(number)
    registry.unload()
    gc.collect()
    before = resident()
    for number in range(20):
        switch(number)
    registry.unload()
    gc.collect()
    assert size > 50e6
    assert resident() - before < 0.5 * size
