"""FLUX.2 [dev] and FLUX.3 [klein] base from a folder to an adapter and its previews, on tiny models of the real classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finetune.base import find_base, load_base
from finetune.config import TrainConfigError
from tests.engine.tiny_families import write_dev, write_flux3
from tests.finetune.training import losses, run, small, write_pictures
from workbench.engine.conditions import encode_picture
from workbench.engine.text import encode, tokenize
from workbench.models import ModelCatalog
from workbench.models.loading import load

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("families")
    write_dev(root / "tiny-dev", seed=1)
    write_flux3(root / "tiny-3", seed=2, flow_map=True)
    write_flux3(root / "tiny-3-base", seed=3, flow_map=False)
    return root


@pytest.mark.parametrize("name", ["tiny-dev", "tiny-3-base"])
def test_features_and_latents_are_those_of_inference(root: Path, tmp_path: Path, name: str) -> None:
    from tests.engine.pictures import draw

    catalog = ModelCatalog(tmp_path, root, device="cpu")
    base = load_base(find_base(name, catalog), small(tmp_path, model=name), CPU)
    parts = load(catalog.model(name), "float32", CPU)
    assert base.encoders is not None
    for caption in ("a red square", "", "a long caption " * 12):
        ours, _ = base.encoders.text(caption)
        assert torch.equal(ours.embeds, encode(parts, tokenize(parts, caption, base.row.max_sequence_length)).embeds)
    picture = draw(0, 96, 64)
    tokens, grid = base.encoders.picture(picture)
    assert grid == (4, 6)
    assert torch.equal(tokens, encode_picture(parts, picture))


@pytest.mark.parametrize("name", ["tiny-dev", "tiny-3-base"])
def test_runs_on_pictures_and_on_pairs(root: Path, tmp_path: Path, name: str) -> None:
    catalog = ModelCatalog(tmp_path / "home", root, device="cpu")
    previews = {"every": 2, "steps": 1, "width": 64, "height": 64}
    changed = {}
    for pairs in (0, 2):
        data = write_pictures(tmp_path / f"data-{pairs}", pairs=pairs, count=3)
        folder = run(small(data, model=name, name=f"run-{pairs}", steps=2, batch_size=1, previews=previews), catalog)
        assert folder.status().state == "finished"
        assert all(loss > 0 for _, loss in losses(folder))
        # prompts with the trigger and without; edits of a pair's reference
        assert len(list(folder.previews.glob("step-000002/*.png"))) == (3 if pairs else 6)
        changed[pairs] = set(load_file(folder.adapter))
    own = {key for key in changed[2] - changed[0] if "image_cond" in key}
    assert changed[2] - changed[0] == own
    assert bool(own) == (name == "tiny-3-base")  # which has a stream of blocks for references


def test_a_flow_map_is_refused_for_good(root: Path, tmp_path: Path) -> None:
    catalog = ModelCatalog(tmp_path / "home", root, device="cpu")
    with pytest.raises(TrainConfigError, match="step-distilled") as caught:
        run(small(write_pictures(tmp_path / "data"), model="tiny-3", allow_distilled=True), catalog)
    assert "flow map" in caught.value.remedy
