# ruff: noqa: D103 - tables of names and shapes, read line by line
"""Adapters of every dialect."""

from __future__ import annotations

from diffusers import Flux2Transformer2DModel, FluxTransformer2DModel

from scripts.layouts.names import DOWN, PEFT, Shapes, lora, matrices, meta
from scripts.layouts.originals import flux1, flux2
from scripts.layouts.packed import typed
from workbench.models.identify.header import Header


def adapter_layouts() -> dict[str, Header]:
    d1 = meta(FluxTransformer2DModel, guidance_embeds=True)
    klein = meta(
        Flux2Transformer2DModel, num_layers=5, num_single_layers=20, num_attention_heads=24, joint_attention_dim=7680,
        guidance_embeds=False,
    )  # fmt: skip
    original, klein_original = flux1(), flux2(3072, 5, 20, 7680)
    control = lora(matrices(flux1(channels=128), ""), PEFT, rank=128)
    control |= {name: shape for name, shape in original.items() if name.endswith("norm.scale")}
    control |= {
        name.replace(".bias", ".lora_B.bias"): shape for name, shape in original.items() if name.endswith(".bias")
    }
    xlabs: Shapes = {}
    for block in range(19):
        for what, rows in (("qkv", 9216), ("proj", 3072)):
            for stream in "12":
                stem = f"double_blocks.{block}.processor.{what}_lora{stream}"
                xlabs |= {f"{stem}.down.weight": (16, 3072), f"{stem}.up.weight": (rows, 16)}
    lokr: Shapes = {}
    for name in matrices(klein, "transformer_blocks.", prefix="lycoris_", flat=True):
        lokr |= {f"{name}.lokr_w1": (16, 16), f"{name}.lokr_w2": (192, 192), f"{name}.alpha": ()}
    text = {f"lora_te1_text_model_encoder_layers_{layer}_mlp_fc1": (3072, 768) for layer in range(12)}
    xl_lora = {
        f"lora_unet_input_blocks_{block}_1_transformer_blocks_0_attn2_to_{each}": (640, 2048 if each in "kv" else 640)
        for block in (4, 5) for each in ("q", "k", "v")
    }  # fmt: skip
    xl_text = {f"lora_te2_text_model_encoder_layers_{layer}_mlp_fc1": (5120, 1280) for layer in range(32)}
    return {
        "lora-flux1-diffusers": typed(lora(matrices(d1, "attn.", prefix="transformer."), PEFT), "BF16"),
        "lora-flux1-peft": typed(lora(matrices(d1, "attn.", prefix="base_model.model."), PEFT), "F32"),
        "lora-flux1-bfl": typed(lora(matrices(original, prefix="diffusion_model."), PEFT), "BF16"),
        "lora-flux1-kohya": typed(
            lora(matrices(original, prefix="lora_unet_", flat=True) | text, DOWN, alpha=True), "F16"
        ),
        "lora-flux1-onetrainer": typed(
            lora(matrices(d1, "transformer_blocks.", prefix="lora_transformer_", flat=True), DOWN, alpha=True), "BF16"
        ),
        "lora-flux1-xlabs": typed(xlabs, "BF16"),
        "lora-flux1-depth-dev": typed(control, "BF16"),
        "lora-klein-4b-bfl": typed(lora(matrices(klein_original, "_blocks.", prefix="diffusion_model."), PEFT), "BF16"),
        "lora-klein-4b-onetrainer-bfl": typed(
            lora(matrices(klein_original, "_blocks.", prefix="transformer."), DOWN, alpha=True), "BF16"
        ),
        "lokr-klein-4b-lycoris": typed(lokr, "BF16"),
        "lora-sdxl-kohya": typed(lora(xl_lora | xl_text, DOWN, alpha=True), "F16"),
    }  # fmt: skip
