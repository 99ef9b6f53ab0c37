"""Files that load without complaint and would draw nonsense: wrong kinds of numbers, missing tensors."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.conftest import TinyKlein
from workbench.engine import Engine
from workbench.errors import ModelError
from workbench.models import ModelCatalog
from workbench.recipe import Adapter, Recipe

FILES = {"transformer": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
CASES: dict[str, tuple[str, Callable[[dict[str, Tensor]], dict[str, Tensor]], list[str]]] = {}
BASE = Recipe(model="good", prompt="a", width=64, height=64, steps=1)


def case(name: str, part: str, change: Callable[[str, Tensor], Tensor | None], *words: str) -> None:
    def edit(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        changed = {key: change(key, value) for key, value in tensors.items()}
        return {key: value for key, value in changed.items() if value is not None}

    CASES[name] = (part, edit, list(words))


case("one of integers", "transformer", lambda k, v: v.int() if k == "proj_out.weight" else v, "proj_out.weight", "I32")
case("all of integers", "transformer", lambda _, v: v.to(torch.int8), "I8")
case("flags", "vae", lambda k, v: v.bool() if k == "decoder.conv_out.weight" else v, "decoder.conv_out.weight", "BOOL")
case("text of integers", "text_encoder", lambda k, v: v.int() if "0.mlp.up" in k else v, "mlp.up_proj.weight", "I32")
case("one lacking", "transformer", lambda k, v: None if k == "proj_out.weight" else v, "missing", "proj_out.weight")
case("text lacking", "text_encoder", lambda k, v: None if "0.mlp.up" in k else v, "missing", "mlp.up_proj.weight")
case("statistics lacking", "vae", lambda k, v: None if k == "bn.running_mean" else v, "missing", "bn.running_mean")
FINE: dict[str, Callable[[Tensor], Tensor]] = {"double": Tensor.double, "half": Tensor.half, "bfloat": Tensor.bfloat16}


def test_each_is_refused_in_one_sentence_and_the_next_model_draws(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    """All in one run: a model that cannot be loaded leaves nothing behind that disturbs the next."""
    for name, (part, edit, _) in CASES.items():
        folder = tmp_path / "models" / name
        shutil.copytree(tiny_klein.base, folder)
        path = folder / part / f"{FILES[part]}.safetensors"
        save_file(edit(load_file(path)), path, {"format": "pt"})
    for name, cast in FINE.items():
        shutil.copytree(tiny_klein.base, tmp_path / "models" / name)
        path = tmp_path / "models" / name / "transformer" / f"{FILES['transformer']}.safetensors"
        save_file({key: cast(value) for key, value in load_file(path).items()}, path, {"format": "pt"})
    shutil.copytree(tiny_klein.base, tmp_path / "models" / "good")
    names = [*CASES, "good", *FINE, next(iter(CASES))]
    engine = Engine(ModelCatalog(tmp_path, device="cpu"), device="cpu")
    results = {result.index: result for result in engine.run([BASE.replace(model=name) for name in names])}
    for index, name in enumerate(names):
        error = results[index].error
        if name not in CASES:
            assert error is None, (name, error)
            continue
        assert isinstance(error, ModelError), (name, error)
        for word in ("cannot be loaded", CASES[name][0], *CASES[name][2]):
            assert word in str(error), (name, error)
        assert "\n" not in str(error)


def test_an_adapter_of_integers_is_refused(tiny_klein: TinyKlein, tiny_home: Path, tmp_path: Path) -> None:
    tensors = load_file(tiny_home / "adapters" / "plain.safetensors")
    (tmp_path / "adapters").mkdir()
    save_file({key: value.int() for key, value in tensors.items()}, tmp_path / "adapters" / "whole.safetensors")
    engine = Engine(ModelCatalog(tmp_path, tiny_klein.root, device="cpu"), device="cpu")
    whole = BASE.replace(model="tiny-base", adapters=(Adapter(name="whole"),))
    (bad,) = engine.run([whole])
    assert isinstance(bad.error, ModelError)
    assert "whole.safetensors is damaged" in str(bad.error)
    (good,) = engine.run([whole.replace(adapters=())])
    assert good.error is None


@pytest.mark.parametrize("size", [0, 7])
def test_a_file_of_nothing_is_incomplete(tiny_klein: TinyKlein, tmp_path: Path, size: int) -> None:
    folder = tmp_path / "models" / "empty"
    shutil.copytree(tiny_klein.base, folder)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * size)
    (result,) = Engine(ModelCatalog(tmp_path, device="cpu"), device="cpu").run([BASE.replace(model="empty")])
    assert isinstance(result.error, ModelError)
    assert "incomplete" in str(result.error)
