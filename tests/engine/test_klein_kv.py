"""FLUX.2 [klein] 9B-KV: keeping the keys and values of references over the steps is exact, and the pipeline's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.conftest import write_klein
from tests.engine.pictures import difference, draw
from workbench.engine import Engine
from workbench.engine.kinds import klein_kv
from workbench.models import ModelCatalog
from workbench.recipe import Recipe

BASE = Recipe(model="tiny-kv", prompt="a red circle", width=64, height=96, seed=5, max_sequence_length=64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kv")
    folder = write_klein(root / "tiny-kv", seed=4, layers=28, distilled=True)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "Flux2KleinKVPipeline"}))
    for number, size in enumerate([(96, 64), (70, 100), (128, 128)]):
        draw(number, *size).save(root / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def engine(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(ModelCatalog(tmp_path_factory.mktemp("home"), root, device="cpu"), device="cpu", batch_size=4)


def run(engine: Engine, *recipes: Recipe) -> list[Image.Image]:
    results = sorted(engine.run(list(recipes)), key=lambda result: result.index)
    assert [result.error for result in results] == [None] * len(recipes)
    return [result.picture for result in results if result.picture is not None]


@pytest.fixture(scope="module")
def pipe(root: Path) -> Any:
    from diffusers import Flux2KleinKVPipeline

    pipe = Flux2KleinKVPipeline.from_pretrained(root / "tiny-kv", local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_picture_is_the_pipelines(engine: Engine, pipe: Any, root: Path, count: int) -> None:
    files = [root / f"{number}.png" for number in range(count)]
    (ours,) = run(engine, BASE.replace(references=files))
    images = [Image.open(file) for file in files]
    expected = pipe(
        prompt=BASE.prompt, image=images or None, width=64, height=96, num_inference_steps=4,
        generator=torch.Generator().manual_seed(5), max_sequence_length=64,
    ).images[0]  # fmt: skip
    assert difference(ours, expected) <= 1


def test_what_is_kept_changes_nothing(engine: Engine, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keeping, every step reads the references anew; rows that leave early take their part along."""
    recipes = [
        BASE.replace(references=[root / "0.png"], steps=2),
        BASE.replace(references=[root / "1.png"], seed=6),
        BASE.replace(references=[root / "1.png"], prompt="other", steps=5),
    ]
    kept = run(engine, *recipes)
    assert len(klein_kv._KEPT) == 0  # let go with the rows

    class Forgetful(dict[Any, Any]):
        def get(self, *_: Any) -> None:
            return None

        def __setitem__(self, *_: Any) -> None:
            pass

    monkeypatch.setattr(klein_kv, "_KEPT", Forgetful())
    for one, other in zip(kept, run(engine, *recipes), strict=True):
        assert difference(one, other) <= 1


def test_an_image_and_references_together(engine: Engine, root: Path) -> None:
    plain, seen = run(
        engine,
        BASE.replace(image=root / "0.png", strength=0.8, width=None, height=None),
        BASE.replace(image=root / "0.png", strength=0.8, width=None, height=None, references=[root / "2.png"]),
    )
    assert difference(plain, seen) > 1
