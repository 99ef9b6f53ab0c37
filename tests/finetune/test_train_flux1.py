"""FLUX.1 [dev] and Kontext from a folder to an adapter, on tiny models of the real classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from finetune.base import find_base, load_base
from finetune.config import TrainConfigError
from tests.finetune.training import losses, run, small, write_pictures
from workbench.models import ModelCatalog

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_flux1(folder: Path, *, pipeline: str = "FluxPipeline", guidance: bool = True) -> Path:
    """A tiny FLUX.1 folder with random weights."""
    torch.manual_seed(0)
    words = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    words |= {symbol: place for place, symbol in enumerate([*LETTERS, *(f"{x}</w>" for x in LETTERS)], start=2)}
    clip = CLIPTokenizer(vocab=words, merges=[], model_max_length=77)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((symbol, -3.0) for symbol in f"▁{LETTERS}")]
    t5 = T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKL(
            block_out_channels=(8, 8, 16, 16), latent_channels=4, norm_num_groups=4, shift_factor=0.1159,
            scaling_factor=0.3611, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            use_quant_conv=False, use_post_quant_conv=False,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(vocab_size=len(clip), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                           num_attention_heads=2, bos_token_id=0, eos_token_id=1, pad_token_id=1)
        ),
        tokenizer=clip,
        text_encoder_2=T5EncoderModel(
            T5Config(vocab_size=len(t5), d_model=24, d_kv=12, d_ff=16, num_layers=1, num_heads=2)
        ),
        tokenizer_2=t5,
        transformer=FluxTransformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=24, pooled_projection_dim=16, guidance_embeds=guidance, axes_dims_rope=(4, 6, 6),
        ),
    ).save_pretrained(folder)  # fmt: skip
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": pipeline}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def flux1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flux1(tmp_path_factory.mktemp("flux1") / "models" / "tiny-flux1")


def test_text_features_and_latents_are_those_of_the_pipeline(flux1: Path, tmp_path: Path) -> None:
    from PIL import Image

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
    picture = Image.effect_noise((64, 48), 80).convert("RGB")
    tokens, grid = base.encoders.picture(picture)
    assert grid == (3, 4)
    with torch.no_grad():
        latents = pipeline.vae.encode(pipeline.image_processor.preprocess(picture)).latent_dist.mode()
    latents = (latents - pipeline.vae.config.shift_factor) * pipeline.vae.config.scaling_factor
    packed = FluxPipeline._pack_latents(latents, *latents.shape)
    torch.testing.assert_close(tokens, packed, rtol=1e-5, atol=1e-6)


def test_a_run_of_dev_and_of_kontext(flux1: Path, tmp_path: Path) -> None:
    kontext = write_flux1(tmp_path / "models" / "tiny-kontext", pipeline="FluxKontextPipeline")
    catalog = ModelCatalog(tmp_path / "home", device="cpu")
    plain, pairs = write_pictures(tmp_path / "plain", count=3), write_pictures(tmp_path / "pairs", pairs=1, count=3)
    for model, data, name in ((flux1, plain, "dev"), (kontext, pairs, "kontext")):
        source = {"path": str(data), "resolutions": [64]}
        folder = run(small(data, data=source, model=str(model), name=name, steps=2, batch_size=1), catalog)
        assert folder.adapter.is_file()
        assert all(loss > 0 for _, loss in losses(folder))
    wrong = small(pairs, data={"path": str(pairs), "resolutions": [64]}, model=str(flux1), name="no", steps=2)
    with pytest.raises(TrainConfigError, match="has 1 references"):
        run(wrong, catalog)
    pipeline = FluxPipeline.from_pretrained(flux1, local_files_only=True)
    pipeline.load_lora_weights(catalog.home / "adapters" / "dev.safetensors")
    assert pipeline.get_list_adapters()


def test_schnell_is_refused(tmp_path: Path) -> None:
    schnell = write_flux1(tmp_path / "schnell", guidance=False)
    with pytest.raises(TrainConfigError, match="step-distilled"):
        run(small(write_pictures(tmp_path / "data"), model=str(schnell)), ModelCatalog(tmp_path / "home", device="cpu"))
