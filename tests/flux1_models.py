"""Tiny FLUX.1 folders of the real classes with random weights, and the stock pipelines that they are compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SCHEDULER = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
TARGETS = ["attn.to_q", "attn.to_out.0", "proj_mlp"]


def write_flux1(
    folder: Path, *, seed: int, pipeline: str = "FluxPipeline", guidance: bool = True, channels: int = 16
) -> Path:
    """A FLUX.1 folder: 2 + 2 blocks of width 32, a VAE of 4 latent channels, CLIP and T5 of two layers.

    Args:
        folder: where.
        seed: of the weights.
        pipeline: class named in the index.
        guidance: whether the guidance scale is an input.
        channels: of a token going in, 16 for the latents alone.
    """
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    torch.manual_seed(seed)
    clip_tokenizer, t5_tokenizer = tokenizers()
    parts: dict[str, Any] = {
        "transformer": FluxTransformer2DModel(
            in_channels=channels, out_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=24, pooled_projection_dim=20, guidance_embeds=guidance,
            axes_dims_rope=(4, 6, 6),
        ),
        "vae": AutoencoderKL(
            block_out_channels=(8, 8, 16, 16), latent_channels=4, norm_num_groups=4, shift_factor=0.1159,
            scaling_factor=0.3611, down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, use_quant_conv=False, use_post_quant_conv=False,
        ),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(clip_tokenizer), hidden_size=20, intermediate_size=24, num_hidden_layers=2,
                num_attention_heads=2, bos_token_id=0, eos_token_id=1, pad_token_id=1, projection_dim=20,
            )
        ),
        "text_encoder_2": T5EncoderModel(
            T5Config(vocab_size=len(t5_tokenizer), d_model=24, d_kv=12, d_ff=16, num_layers=2, num_heads=2)
        ),
        "tokenizer": clip_tokenizer,
        "tokenizer_2": t5_tokenizer,
        "scheduler": FlowMatchEulerDiscreteScheduler(**SCHEDULER),
    }  # fmt: skip
    loud(parts["transformer"], parts["text_encoder"], parts["text_encoder_2"])
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    classes = {name: ["diffusers", type(part).__name__] for name, part in parts.items()}
    classes |= {name: ["transformers", cls] for name, (_, cls) in classes.items() if "text" in name or "token" in name}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline} | classes), encoding="utf-8")
    return folder


def loud(*parts: Any) -> None:
    """Weights of matrices such that text and time are seen, which the default initialisation hardly lets happen."""
    with torch.no_grad():
        for part in parts:
            for parameter in part.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(0, parameter.shape[1] ** -0.5)


def tokenizers() -> tuple[Any, Any]:
    """CLIP's and T5's, both by letters."""
    from transformers import CLIPTokenizer, T5TokenizerFast

    symbols = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    words = {"<|startoftext|>": 0, "<|endoftext|>": 1} | {
        symbol: place for place, symbol in enumerate(symbols, start=2)
    }
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((symbol, -3.0) for symbol in f"▁{LETTERS}")]
    clip = CLIPTokenizer(vocab=words, merges=[], model_max_length=77)
    return clip, T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)


def stock(model: Any, cls: str, dtype: torch.dtype = torch.float32) -> Any:
    """A pipeline of diffusers over a model's folder."""
    import diffusers

    pipe = getattr(diffusers, cls).from_pretrained(model.path, dtype=dtype, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write_redux(folder: Path, *, seed: int) -> Path:
    """A Redux folder for `write_flux1`: SigLIP of two layers on 32 pixels, 4 words a picture."""
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
    from transformers import SiglipImageProcessorPil, SiglipVisionConfig, SiglipVisionModel

    torch.manual_seed(seed)
    encoder = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=32,
            patch_size=16,
        )
    )  # fmt: skip
    embedder = ReduxImageEncoder(redux_dim=16, txt_in_features=24)
    loud(encoder, embedder)
    encoder.save_pretrained(folder / "image_encoder")
    embedder.save_pretrained(folder / "image_embedder")
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder / "feature_extractor")
    index = {
        "_class_name": "FluxPriorReduxPipeline",
        "feature_extractor": ["transformers", "SiglipImageProcessor"],
        "image_embedder": ["flux", "ReduxImageEncoder"],
        "image_encoder": ["transformers", "SiglipVisionModel"],
        "text_encoder": [None, None],
        "text_encoder_2": [None, None],
        "tokenizer": [None, None],
        "tokenizer_2": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def write_depth(folder: Path, *, seed: int) -> Path:
    """A Depth Anything folder: DINOv2 of two layers."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessorPil

    torch.manual_seed(seed)
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2"], reshape_hidden_states=False,
    )  # fmt: skip
    model = DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 16], reassemble_factors=[1, 0.5],
            fusion_hidden_size=8, head_hidden_size=4, patch_size=14,
        )
    )  # fmt: skip
    loud(model)
    model.save_pretrained(folder)
    DPTImageProcessorPil(size={"height": 28, "width": 28}, ensure_multiple_of=14).save_pretrained(folder)
    return folder


def write_control_lora(path: Path, model: Path, *, seed: int) -> Path:
    """A control LoRA for `write_flux1`, as diffusers names it: a wider input layer, matrices, biases, norms."""
    from diffusers import FluxTransformer2DModel
    from safetensors.torch import save_file

    transformer = FluxTransformer2DModel.from_pretrained(model / "transformer", local_files_only=True)
    chance, tensors = torch.Generator().manual_seed(seed), {}
    rank = 4
    for name, part in transformer.named_modules():
        if name == "x_embedder" or name.endswith((*TARGETS, "norm_out.linear")):
            columns = 2 * part.in_features if name == "x_embedder" else part.in_features
            stem = f"transformer.{name}"
            tensors[f"{stem}.lora_A.weight"] = torch.randn(rank, columns, generator=chance) * columns**-0.5
            tensors[f"{stem}.lora_B.weight"] = torch.randn(part.out_features, rank, generator=chance) * 0.5
            tensors[f"{stem}.lora_B.bias"] = torch.randn(part.out_features, generator=chance) * 0.3
        if name.endswith(("attn.norm_q", "attn.norm_k", "attn.norm_added_q", "attn.norm_added_k")):
            size = part.weight.shape[0]
            tensors[f"transformer.{name}.weight"] = 1 + torch.randn(size, generator=chance) * 0.3
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"format": "pt"})
    return path
