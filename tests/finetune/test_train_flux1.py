"""FLUX.1 [dev] and Kontext from a folder to an adapter and its previews, on tiny models of the real classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image

from finetune.base import find_base, load_base
from finetune.config import TrainConfigError
from finetune.data import DataError
from tests.finetune.training import losses, run, small, write_pictures
from tests.flux1_models import write_flux1
from workbench.engine.text import encode, tokenize
from workbench.models import ModelCatalog
from workbench.models.loading import load


@pytest.fixture(scope="module")
def flux1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flux1(tmp_path_factory.mktemp("flux1") / "models" / "tiny-flux1", seed=1)


def test_text_features_and_latents_are_those_of_the_pipeline(flux1: Path, tmp_path: Path) -> None:
    catalog = ModelCatalog(tmp_path, flux1.parent, device="cpu")
    base = load_base(find_base("tiny-flux1", catalog), small(tmp_path), torch.device("cpu"))
    assert base.encoders is not None
    pipeline = FluxPipeline.from_pretrained(flux1, local_files_only=True)
    ours, _ = base.encoders.text("a red square")
    with torch.no_grad():
        embeds, pooled, _ = pipeline.encode_prompt("a red square", "a red square", max_sequence_length=512)
    assert torch.equal(ours.embeds, embeds)
    assert ours.pooled is not None
    assert torch.equal(ours.pooled, pooled)
    parts = load(catalog.model("tiny-flux1"), "float32", torch.device("cpu"))  # and those of the engine
    features = encode(parts, tokenize(parts, "a red square", 512))
    assert torch.equal(ours.embeds, features.embeds)
    assert features.pooled is not None
    assert torch.equal(ours.pooled, features.pooled)
    picture = Image.effect_noise((64, 48), 80).convert("RGB")
    tokens, grid = base.encoders.picture(picture)
    assert grid == (3, 4)
    with torch.no_grad():
        latents = pipeline.vae.encode(pipeline.image_processor.preprocess(picture)).latent_dist.mode()
    latents = (latents - pipeline.vae.config.shift_factor) * pipeline.vae.config.scaling_factor
    packed = FluxPipeline._pack_latents(latents, *latents.shape)
    torch.testing.assert_close(tokens, packed, rtol=1e-5, atol=1e-6)


def test_a_run_of_dev_and_of_kontext(flux1: Path, tmp_path: Path) -> None:
    kontext = write_flux1(tmp_path / "models" / "tiny-kontext", seed=2, pipeline="FluxKontextPipeline")
    catalog = ModelCatalog(tmp_path / "home", device="cpu")
    plain, pairs = write_pictures(tmp_path / "plain", count=3), write_pictures(tmp_path / "pairs", pairs=1, count=3)
    for model, data, name in ((flux1, plain, "dev"), (kontext, pairs, "kontext")):
        source = {"path": str(data), "resolutions": [64]}
        previews = {"every": 2, "steps": 1, "width": 64, "height": 64}
        config = small(data, data=source, model=str(model), name=name, steps=2, batch_size=1, previews=previews)
        folder = run(config, catalog)
        assert folder.adapter.is_file()
        assert all(loss > 0 for _, loss in losses(folder))
        drawn = [sorted(folder.previews.glob(f"step-{step:06d}/*.png")) for step in (0, 2)]
        assert len(drawn[0]) == len(drawn[1]) == 3  # one a caption
        assert any(one.read_bytes() != two.read_bytes() for one, two in zip(*drawn, strict=True))
    wrong = small(pairs, data={"path": str(pairs), "resolutions": [64]}, model=str(flux1), name="no", steps=2)
    with pytest.raises(DataError, match="more than 0 reference pictures"):
        run(wrong, catalog)
    pipeline = FluxPipeline.from_pretrained(flux1, local_files_only=True)
    pipeline.load_lora_weights(catalog.home / "adapters" / "dev.safetensors")
    assert pipeline.get_list_adapters()


def test_schnell_is_refused(tmp_path: Path) -> None:
    schnell = write_flux1(tmp_path / "schnell", seed=3, guidance=False)
    with pytest.raises(TrainConfigError, match="step-distilled"):
        run(small(write_pictures(tmp_path / "data"), model=str(schnell)), ModelCatalog(tmp_path / "home", device="cpu"))
