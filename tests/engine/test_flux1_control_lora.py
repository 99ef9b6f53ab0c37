"""Control as a LoRA on FLUX.1 dev, against `FluxControlPipeline` with the same file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.engine.pictures import difference, draw
from tests.flux1_models import stock, write_control_lora, write_flux1
from workbench.engine import Engine
from workbench.errors import ControlError
from workbench.models import ModelCatalog
from workbench.models.adapters import AdapterFile
from workbench.models.loading import load
from workbench.recipe import Adapter, Recipe


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> ModelCatalog:
    root, home = tmp_path_factory.mktemp("flux1"), tmp_path_factory.mktemp("home")
    model = write_flux1(root / "dev", seed=1)
    write_control_lora(home / "adapters" / "canny.safetensors", model, seed=2)
    return ModelCatalog(home, root, device="cpu")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    draw(1, 64, 80).save(path)
    return path


def recipe(**fields: Any) -> Recipe:
    values = {"prompt": "a red circle", "seed": 5, "steps": 4, "width": 64, "height": 80, "max_sequence_length": 32}
    return Recipe(model="dev", **(values | fields))


@pytest.mark.parametrize("weight", [1.0, 0.6])
def test_it_equals_the_pipeline(catalog: ModelCatalog, photo: Path, weight: float) -> None:
    asked = recipe(control=photo, control_type="map", adapters=(Adapter(name="canny", weight=weight),))
    (result,) = Engine(catalog, device="cpu").run([asked])
    assert result.error is None
    assert result.warnings == ()  # every tensor acts
    pipe = stock(catalog.model("dev"), "FluxControlPipeline")
    pipe.load_lora_weights(catalog.adapter_path("canny"), adapter_name="canny")
    pipe.set_adapters("canny", weight)
    expected = pipe(
        prompt=asked.prompt, control_image=Image.open(photo), width=64, height=80, num_inference_steps=4,
        guidance_scale=3.5, max_sequence_length=32, generator=torch.Generator().manual_seed(5),
    ).images[0]  # fmt: skip
    if weight == 1.0:  # at other weights diffusers still replaces the norms whole
        assert difference(result.picture, expected) <= 1
    else:
        assert difference(result.picture, expected) < 128


def test_it_goes_without_a_trace(catalog: ModelCatalog, photo: Path) -> None:
    engine = Engine(catalog, device="cpu")
    (before,) = engine.run([recipe()])
    asked = recipe(control=photo, control_type="map", adapters=(Adapter(name="canny"),))
    (controlled,) = engine.run([asked])
    (after,) = engine.run([recipe()])
    assert controlled.error is None
    assert difference(before.picture, after.picture) == 0
    parts = load(catalog.model("dev"), "float32", torch.device("cpu"))
    pristine = {name: value.clone() for name, value in parts.transformer.state_dict().items()}
    for _ in range(3):
        parts.adapters.apply([AdapterFile(catalog.adapter_path("canny"), "x", 0.7)])
        parts.adapters.apply([])
    now = parts.transformer.state_dict()
    assert now.keys() == pristine.keys()
    assert all(torch.equal(now[name], value) for name, value in pristine.items())


def test_a_control_lora_needs_a_control_picture(catalog: ModelCatalog) -> None:
    (result,) = Engine(catalog, device="cpu").run([recipe(adapters=(Adapter(name="canny"),))])
    assert isinstance(result.error, ControlError)
    assert "needs a control picture" in str(result.error)


def test_the_original_names_mean_the_same(catalog: ModelCatalog, tmp_path: Path) -> None:
    """Biases and norms under Black Forest Labs' names, fused and with the halves of the last layer the other way round."""
    parts = load(catalog.model("dev"), "float32", torch.device("cpu"))
    path = catalog.adapter_path("canny")
    ours = load_file(path)
    theirs = {name: value for name, value in ours.items() if ".attn." not in name and "proj_mlp" not in name}
    for part in ("lora_B.weight", "lora_B.bias"):
        low, high = theirs.pop(f"transformer.norm_out.linear.{part}").chunk(2)
        theirs[f"final_layer.adaLN_modulation.1.{part}"] = torch.cat([high, low])
    theirs["final_layer.adaLN_modulation.1.lora_A.weight"] = theirs.pop("transformer.norm_out.linear.lora_A.weight")
    for part in ("lora_A.weight", "lora_B.weight", "lora_B.bias"):
        theirs[f"img_in.{part}"] = theirs.pop(f"transformer.x_embedder.{part}")
    norm = "double_blocks.1.txt_attn.norm.key_norm.scale"
    theirs[norm] = ours["transformer.transformer_blocks.1.attn.norm_added_k.weight"]
    save_file(theirs, tmp_path / "bfl.safetensors")
    keep = {
        name: value for name, value in ours.items()
        if "x_embedder" in name or "norm_out" in name or "transformer_blocks.1.attn.norm_added_k" in name
    }  # fmt: skip
    save_file(keep, tmp_path / "diffusers.safetensors")
    states = []
    for name in ("bfl", "diffusers"):
        parts.adapters.apply([AdapterFile(tmp_path / f"{name}.safetensors", name, 1.0)])
        assert parts.adapters.warnings == ()
        states.append({key: value.clone() for key, value in parts.transformer.state_dict().items()})
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    plain = load(catalog.model("dev"), "float32", torch.device("cpu")).transformer.state_dict()
    assert not torch.equal(states[0]["norm_out.linear.bias"], plain["norm_out.linear.bias"])
