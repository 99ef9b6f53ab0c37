# ruff: noqa: D103, E501 - tables of names and shapes, read line by line
"""Text and vision encoders."""

from __future__ import annotations

from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    MistralConfig,
    MistralModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
)

from scripts.layouts.names import Shapes, meta, prefixed
from scripts.layouts.packed import fp8, gguf, llama_qwen3, llama_t5, nf4, typed
from workbench.models.identify.header import Header


def clip_config(width: int, layers: int, feed: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width, num_hidden_layers=layers, intermediate_size=feed, num_attention_heads=width // 64,
        projection_dim=width,
    )  # fmt: skip


def t5_config() -> T5Config:
    return T5Config(
        vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu"
    )


def qwen3(width: int, feed: int, heads: int) -> Shapes:
    return meta(
        Qwen3ForCausalLM,
        Qwen3Config(
            vocab_size=151936, hidden_size=width, intermediate_size=feed, num_hidden_layers=36, num_attention_heads=heads,
            num_key_value_heads=8, head_dim=128, tie_word_embeddings=width == 2560,
        ),
    )  # fmt: skip


def encoder_layouts() -> dict[str, Header]:
    t5 = meta(T5EncoderModel, t5_config())
    clip = meta(CLIPTextModel, clip_config(768, 12, 3072))
    if "embeddings.position_embedding.weight" in clip:  # transformers 5 keeps the trunk's names on disk as ever
        clip = prefixed("text_model.", clip)
    mistral = prefixed(
        "model.",
        meta(
            MistralModel,
            MistralConfig(
                vocab_size=131072, hidden_size=5120, intermediate_size=32768, num_hidden_layers=40, num_attention_heads=32,
                num_key_value_heads=8, head_dim=128,
            ),
        ),
    )  # fmt: skip
    q4, q8 = qwen3(2560, 9728, 32), qwen3(4096, 12288, 32)
    q4.pop("lm_head.weight", None)
    siglip = meta(
        SiglipVisionModel,
        SiglipVisionConfig(
            hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16, image_size=384, patch_size=14
        ),
    )  # fmt: skip
    if "embeddings.patch_embedding.weight" in siglip:
        siglip = prefixed("vision_model.", siglip)
    vision = {f"vision_tower.{name}": (1024,) for name in ("ln_pre.weight",)}
    return {
        "t5-xxl-fp16": typed(t5, "F16"),
        "t5-xxl-fp8": fp8(t5),
        "t5-xxl-fp8-scaled-comfy": fp8(t5, scale="scale_weight", mark=True),
        "t5-xxl-q8_0-gguf": gguf(llama_t5(t5), "Q8_0", "t5encoder"),
        "t5-xxl-nf4-diffusers": nf4(t5, nested=True, only="block."),
        "clip-l": typed(clip, "F16"),
        "mistral-small-bf16": typed(mistral, "BF16"),
        "mistral-small-fp8-comfy": fp8(mistral, scale="weight_scale", only="layers."),
        "mistral-small-diffusers": typed(
            {f"language_model.{name}": shape for name, shape in mistral.items()} | vision, "BF16"
        ),
        "qwen3-4b-bf16": typed(q4, "BF16", {"format": "pt"}),
        "qwen3-8b-bf16": typed(q8, "BF16", {"format": "pt"}),
        "qwen3-4b-q4_k-gguf": gguf(llama_qwen3(q4), "Q4_K", "qwen3", name="Qwen3 4B"),
        "siglip-so400m": typed(siglip, "BF16"),
    }
