# ruff: noqa: C901, D103, E501 - tables of names and shapes, read line by line
"""Write tests/models/layouts: headers of published weight files, without data.

    python scripts/layouts.py

Layouts of diffusers and transformers come from their own classes on the meta device, with the published
configurations. Those of Black Forest Labs' single files are made from `flux` and `flux2`'s modules as written below, and
held against diffusers' converters: converted, each must have exactly the names and shapes of diffusers' class.
Quantised files follow what the tools write (bitsandbytes' state dict, ComfyUI's scales, ComfyUI-GGUF's types).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    Flux2Transformer2DModel,
    Flux3Transformer2DModel,
    FluxControlNetModel,
    FluxTransformer2DModel,
    UNet2DConditionModel,
)
from diffusers.loaders import single_file_utils as convert
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

from workbench.models.identify.header import Header, TensorEntry
from workbench.models.identify.stripped import to_json

OUT = Path(__file__).parents[1] / "tests" / "models" / "layouts"
Shapes = dict[str, tuple[int, ...]]


def meta(kind: Any, *arguments: Any, **options: Any) -> Shapes:
    """Names and shapes of a module's state."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in kind(*arguments, **options).state_dict().items()}


def linear(name: str, rows: int, columns: int, *, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (rows, columns)} | ({f"{name}.bias": (rows,)} if bias else {})


def flux1(
    *, channels: int = 64, guidance: bool = True, double: int = 19, single: int = 38, width: int = 3072
) -> Shapes:
    """`flux.model.Flux` of github.com/black-forest-labs/flux."""
    found = linear("img_in", width, channels) | linear("txt_in", width, 4096)
    for name, inputs in [("time_in", 256), ("vector_in", 768), *([("guidance_in", 256)] if guidance else [])]:
        found |= linear(f"{name}.in_layer", width, inputs) | linear(f"{name}.out_layer", width, width)
    for block in range(double):
        for stream in ("img", "txt"):
            stem = f"double_blocks.{block}.{stream}"
            found |= linear(f"{stem}_mod.lin", 6 * width, width)
            found |= linear(f"{stem}_attn.qkv", 3 * width, width)
            found |= {f"{stem}_attn.norm.{each}_norm.scale": (128,) for each in ("query", "key")}
            found |= linear(f"{stem}_attn.proj", width, width)
            found |= linear(f"{stem}_mlp.0", 4 * width, width) | linear(f"{stem}_mlp.2", width, 4 * width)
    for block in range(single):
        stem = f"single_blocks.{block}"
        found |= linear(f"{stem}.linear1", 7 * width, width) | linear(f"{stem}.linear2", width, 5 * width)
        found |= {f"{stem}.norm.{each}_norm.scale": (128,) for each in ("query", "key")}
        found |= linear(f"{stem}.modulation.lin", 3 * width, width)
    return found | linear("final_layer.linear", 64, width) | linear("final_layer.adaLN_modulation.1", 2 * width, width)


def flux2(width: int, double: int, single: int, text: int, *, guidance: bool = False) -> Shapes:
    """`flux2.model.Flux2` of github.com/black-forest-labs/flux2: no biases, modulation shared by all blocks."""
    found = linear("img_in", width, 128, bias=False) | linear("txt_in", width, text, bias=False)
    for name in ("time_in", *(["guidance_in"] if guidance else [])):
        found |= linear(f"{name}.in_layer", width, 256, bias=False) | linear(
            f"{name}.out_layer", width, width, bias=False
        )
    for name, parts in (
        ("double_stream_modulation_img", 6), ("double_stream_modulation_txt", 6), ("single_stream_modulation", 3),
    ):  # fmt: skip
        found |= linear(f"{name}.lin", parts * width, width, bias=False)
    for block in range(double):
        for stream in ("img", "txt"):
            stem = f"double_blocks.{block}.{stream}"
            found |= linear(f"{stem}_attn.qkv", 3 * width, width, bias=False)
            found |= {f"{stem}_attn.norm.{each}_norm.scale": (128,) for each in ("query", "key")}
            found |= linear(f"{stem}_attn.proj", width, width, bias=False)
            found |= linear(f"{stem}_mlp.0", 6 * width, width, bias=False)
            found |= linear(f"{stem}_mlp.2", width, 3 * width, bias=False)
    for block in range(single):
        stem = f"single_blocks.{block}"
        found |= linear(f"{stem}.linear1", 9 * width, width, bias=False)
        found |= linear(f"{stem}.linear2", width, 4 * width, bias=False)
        found |= {f"{stem}.norm.{each}_norm.scale": (128,) for each in ("query", "key")}
    found |= linear("final_layer.linear", 128, width, bias=False)
    return found | linear("final_layer.adaLN_modulation.1", 2 * width, width, bias=False)


def ldm_vae(latent: int, *, bn: bool, quant: bool) -> Shapes:
    """The autoencoder of latent diffusion, 128-256-512-512, as `ae.safetensors` names it."""
    widths, found = (128, 256, 512, 512), {}

    def conv(name: str, rows: int, columns: int, size: int = 3) -> None:
        found.update({f"{name}.weight": (rows, columns, size, size), f"{name}.bias": (rows,)})

    def norm(name: str, size: int) -> None:
        found.update({f"{name}.weight": (size,), f"{name}.bias": (size,)})

    def block(name: str, rows: int, columns: int) -> None:
        norm(f"{name}.norm1", columns)
        conv(f"{name}.conv1", rows, columns)
        norm(f"{name}.norm2", rows)
        conv(f"{name}.conv2", rows, rows)
        if rows != columns:
            conv(f"{name}.nin_shortcut", rows, columns, 1)

    def middle(name: str) -> None:
        block(f"{name}.block_1", 512, 512)
        norm(f"{name}.attn_1.norm", 512)
        for each in ("q", "k", "v", "proj_out"):
            conv(f"{name}.attn_1.{each}", 512, 512, 1)
        block(f"{name}.block_2", 512, 512)

    conv("encoder.conv_in", 128, 3)
    before = 128
    for level, width in enumerate(widths):
        for number in range(2):
            block(f"encoder.down.{level}.block.{number}", width, before)
            before = width
        if level < 3:
            conv(f"encoder.down.{level}.downsample.conv", width, width)
    middle("encoder.mid")
    norm("encoder.norm_out", 512)
    conv("encoder.conv_out", 2 * latent, 512)
    conv("decoder.conv_in", 512, latent)
    middle("decoder.mid")
    before = 512
    for level in (3, 2, 1, 0):
        for number in range(3):
            block(f"decoder.up.{level}.block.{number}", widths[level], before)
            before = widths[level]
        if level:
            conv(f"decoder.up.{level}.upsample.conv", before, before)
    norm("decoder.norm_out", 128)
    conv("decoder.conv_out", 3, 128)
    if quant:
        conv("quant_conv" if not bn else "encoder.quant_conv", 2 * latent, 2 * latent, 1)
        conv("post_quant_conv" if not bn else "decoder.post_quant_conv", latent, latent, 1)
    if bn:
        found |= {"bn.running_mean": (4 * latent,), "bn.running_var": (4 * latent,), "bn.num_batches_tracked": ()}
    return found


def typed(shapes: Shapes, dtype: str, metadata: Mapping[str, str] | None = None) -> Header:
    entries = {
        name: TensorEntry("I64" if name.endswith(("num_batches_tracked", "position_ids")) else dtype, shape)
        for name, shape in shapes.items()
    }
    return Header("safetensors", entries, dict(metadata or {}))


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and name.endswith(".weight") and "embed" not in name and "shared" not in name


def fp8(shapes: Shapes, *, scale: str = "", mark: bool = False, only: str = "", dtype: str = "F8_E4M3") -> Header:
    """Matrices in fp8; `scale` beside each: 'scale_weight' (ComfyUI), 'weight_scale' with inputs (both)."""
    entries = {}
    for name, shape in shapes.items():
        chosen = is_matrix(name, shape) and only in name
        entries[name] = TensorEntry(dtype if chosen else "BF16", shape)
        if chosen and scale:
            entries[f"{name.removesuffix('.weight')}.{scale}"] = TensorEntry("F32", ())
            if scale == "weight_scale":
                entries[f"{name.removesuffix('.weight')}.input_scale"] = TensorEntry("F32", ())
    if mark:
        entries["scaled_fp8"] = TensorEntry(dtype, (2,))
    return Header("safetensors", entries, {})


def nf4(shapes: Shapes, *, nested: bool = False, only: str = "blocks.") -> Header:
    """bitsandbytes: two values a byte in one column, a scale for each 64 values, the table of 16 values."""
    entries = {}
    for name, shape in shapes.items():
        if not is_matrix(name, shape) or only not in name:
            entries[name] = TensorEntry("BF16", shape)
            continue
        count = shape[0] * shape[1]
        entries[name] = TensorEntry("U8", (count // 2, 1))
        entries[f"{name}.absmax"] = TensorEntry("U8" if nested else "F32", (count // 64,))
        entries[f"{name}.quant_map"] = TensorEntry("F32", (16,))
        entries[f"{name}.quant_state.bitsandbytes__nf4"] = TensorEntry("U8", (82,))
        if nested:
            entries[f"{name}.nested_absmax"] = TensorEntry("F32", (-(-count // 64 // 256),))
            entries[f"{name}.nested_quant_map"] = TensorEntry("F32", (256,))
    return Header("safetensors", entries, {})


def int8(shapes: Shapes) -> Header:
    entries = {}
    for name, shape in shapes.items():
        entries[name] = TensorEntry("I8" if is_matrix(name, shape) else "F16", shape)
        if is_matrix(name, shape):
            entries[f"{name.removesuffix('.weight')}.SCB"] = TensorEntry("F32", (shape[0],))
            entries[f"{name.removesuffix('.weight')}.weight_format"] = TensorEntry("U8", ())
    return Header("safetensors", entries, {})


def gguf(shapes: Shapes, dtype: str, architecture: str, *, name: str = "") -> Header:
    """ComfyUI-GGUF: matrices quantised, what is small or at the ends in F32 or BF16."""
    entries = {}
    for key, shape in shapes.items():
        small = len(shape) < 2 or key.startswith(
            ("img_in", "txt_in", "time_in", "vector_in", "guidance_in", "final_layer")
        )
        entries[key] = TensorEntry(("F32" if len(shape) < 2 else "BF16") if small else dtype, shape)
    metadata = {"general.architecture": architecture, "general.quantization_version": "2"}
    return Header("gguf", entries, metadata | ({"general.name": name} if name else {}))


def llama_t5(shapes: Shapes) -> Shapes:
    """llama.cpp's names of T5's encoder."""
    found = {
        "token_embd.weight": shapes["shared.weight"],
        "enc.output_norm.weight": shapes["encoder.final_layer_norm.weight"],
    }
    for name, shape in shapes.items():
        block = re.match(r"encoder\.block\.(\d+)\.layer\.(\d)\.(.*)", name)
        if block is None:
            continue
        number, layer, rest = block.groups()
        short = {
            "SelfAttention.q.weight": "attn_q", "SelfAttention.k.weight": "attn_k", "SelfAttention.v.weight": "attn_v",
            "SelfAttention.o.weight": "attn_o", "SelfAttention.relative_attention_bias.weight": "attn_rel_b",
            "DenseReluDense.wi_0.weight": "ffn_gate", "DenseReluDense.wi_1.weight": "ffn_up",
            "DenseReluDense.wo.weight": "ffn_down", "layer_norm.weight": "attn_norm" if layer == "0" else "ffn_norm",
        }[rest]  # fmt: skip
        found[f"enc.blk.{number}.{short}.weight"] = shape
    return found


def llama_qwen3(shapes: Shapes) -> Shapes:
    """llama.cpp's names of Qwen3."""
    short = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    found = {
        "token_embd.weight": shapes["model.embed_tokens.weight"],
        "output_norm.weight": shapes["model.norm.weight"],
    }
    for name, shape in shapes.items():
        block = re.match(r"model\.layers\.(\d+)\.(.*)\.weight", name)
        if block:
            found[f"blk.{block[1]}.{short[block[2]]}.weight"] = shape
    return found


def lora(
    modules: Mapping[str, tuple[int, int]], ends: tuple[str, str], *, rank: int = 16, alpha: bool = False
) -> Shapes:
    found: Shapes = {}
    for name, (rows, columns) in modules.items():
        found |= {f"{name}.{ends[0]}": (rank, columns), f"{name}.{ends[1]}": (rows, rank)}
        if alpha:
            found[f"{name}.alpha"] = ()
    return found


PEFT, DOWN = ("lora_A.weight", "lora_B.weight"), ("lora_down.weight", "lora_up.weight")


def matrices(
    shapes: Shapes, only: str = "blocks.", *, prefix: str = "", flat: bool = False
) -> dict[str, tuple[int, int]]:
    found = {}
    for name, shape in shapes.items():
        if is_matrix(name, shape) and only in name:
            module = name.removesuffix(".weight")
            found[prefix + (module.replace(".", "_") if flat else module)] = (shape[0], shape[1])
    return found


def check(original: Shapes, converter: Any, expected: Shapes) -> None:
    """Converted by diffusers, `original` has exactly the names and shapes of diffusers' class."""
    with torch.device("meta"):
        converted = converter({name: torch.empty(shape) for name, shape in original.items()})
    got = {name: tuple(value.shape) for name, value in converted.items()}
    assert got == expected, {
        "only here": sorted(set(got) - set(expected))[:5],
        "missing": sorted(set(expected) - set(got))[:5],
    }


def transformers_layouts() -> dict[str, Header]:
    d1 = meta(FluxTransformer2DModel, guidance_embeds=True)
    s1 = meta(FluxTransformer2DModel, guidance_embeds=False)
    fill = meta(FluxTransformer2DModel, in_channels=384, out_channels=64, guidance_embeds=True)
    control = meta(FluxTransformer2DModel, in_channels=128, out_channels=64, guidance_embeds=True)
    klein4 = meta(
        Flux2Transformer2DModel, num_layers=5, num_single_layers=20, num_attention_heads=24, joint_attention_dim=7680,
        guidance_embeds=False,
    )  # fmt: skip
    klein9 = meta(
        Flux2Transformer2DModel, num_layers=8, num_single_layers=24, num_attention_heads=32, joint_attention_dim=12288,
        guidance_embeds=False,
    )  # fmt: skip
    dev2 = meta(Flux2Transformer2DModel)
    b4, b9 = flux2(3072, 5, 20, 7680), flux2(4096, 8, 24, 12288)
    bdev = flux2(6144, 8, 48, 15360, guidance=True)
    convert1, convert2 = (
        convert.convert_flux_transformer_checkpoint_to_diffusers,
        convert.convert_flux2_transformer_checkpoint_to_diffusers,
    )
    for original, converter, expected in (
        (flux1(), convert1, d1), (flux1(guidance=False), convert1, s1), (flux1(channels=384), convert1, fill),
        (flux1(channels=128), convert1, control), (b4, convert2, klein4), (b9, convert2, klein9), (bdev, convert2, dev2),
    ):  # fmt: skip
        check(original, converter, expected)
    f3 = meta(Flux3Transformer2DModel)
    spec = "modelspec.architecture"
    return {
        "flux1-dev-bfl": typed(flux1(), "BF16"),
        "flux1-krea-dev-bfl": typed(flux1(), "BF16", {spec: "flux-1-dev", "modelspec.title": "FLUX.1 Krea [dev]"}),
        "flux1-kontext-dev-bfl": typed(flux1(), "BF16", {"modelspec.title": "flux1-kontext-dev"}),
        "flux1-schnell-bfl": typed(flux1(guidance=False), "BF16"),
        "flux1-fill-dev-bfl": typed(flux1(channels=384), "BF16"),
        "flux1-canny-dev-bfl": typed(flux1(channels=128), "BF16"),
        "flux1-depth-dev-bfl": typed(flux1(channels=128), "BF16", {"modelspec.title": "FLUX.1 Depth [dev]"}),
        "flux1-lite-8b-bfl": typed(flux1(double=8), "BF16"),
        "flux1-dev-diffusers": typed(d1, "BF16", {"format": "pt"}),
        "flux1-schnell-diffusers": typed(s1, "BF16", {"format": "pt"}),
        "flux1-fill-dev-diffusers": typed(fill, "BF16", {"format": "pt"}),
        "flux1-canny-dev-diffusers": typed(control, "BF16", {"format": "pt"}),
        "flux1-dev-comfy": typed(prefixed("model.diffusion_model.", flux1()), "BF16"),
        "flux1-dev-fp8-e4m3": fp8(flux1()),
        "flux1-dev-fp8-e5m2": fp8(flux1(), dtype="F8_E5M2"),
        "flux1-dev-fp8-scaled-comfy": fp8(flux1(), scale="scale_weight", mark=True),
        "flux1-dev-nf4-diffusers": nf4(d1, nested=True),
        "flux1-dev-int8-diffusers": int8(d1),
        "flux1-dev-q4_0-gguf": gguf(flux1(), "Q4_0", "flux"),
        "flux1-schnell-q8_0-gguf": gguf(flux1(guidance=False), "Q8_0", "flux"),
        "flux1-fill-dev-q5_k-gguf": gguf(flux1(channels=384), "Q5_K", "flux"),
        "flux1-kontext-dev-q4_k-gguf": gguf(flux1(), "Q4_K", "flux", name="Flux.1 Kontext Dev"),
        "flux2-dev-bfl": typed(bdev, "BF16"),
        "flux2-klein-4b-bfl": typed(b4, "BF16"),
        "flux2-klein-9b-bfl": typed(b9, "BF16"),
        "flux2-klein-base-4b-bfl": typed(b4, "BF16", {"modelspec.title": "FLUX.2-klein-base-4B"}),
        "flux2-dev-diffusers": typed(dev2, "BF16", {"format": "pt"}),
        "flux2-klein-4b-diffusers": typed(klein4, "BF16", {"format": "pt"}),
        "flux2-klein-9b-diffusers": typed(klein9, "BF16", {"format": "pt"}),
        "flux2-klein-4b-fp8-bfl": fp8(b4, scale="weight_scale", only="blocks."),
        "flux2-dev-fp8mixed-comfy": fp8(bdev, scale="weight_scale", only="single_blocks."),
        "flux2-klein-4b-nf4-diffusers": nf4(klein4),
        "flux2-klein-4b-q4_0-gguf": gguf(b4, "Q4_0", "flux"),
        "flux2-klein-9b-q5_k-gguf": gguf(b9, "Q5_K", "flux"),
        "flux2-dev-q8_0-gguf": gguf(bdev, "Q8_0", "flux"),
        "flux3-klein-base-diffusers": typed(f3, "BF16", {"format": "pt"}),
        "flux3-klein-diffusers": typed(meta(Flux3Transformer2DModel, flow_map=True), "BF16", {"format": "pt"}),
    }  # fmt: skip


def checkpoint_layouts() -> dict[str, Header]:
    clip = prefixed("text_encoders.clip_l.transformer.", meta(CLIPTextModel, clip_config(768, 12, 3072)))
    t5 = prefixed("text_encoders.t5xxl.transformer.", meta(T5EncoderModel, t5_config()))
    ae = prefixed("vae.", ldm_vae(16, bn=False, quant=False))
    diffusion = prefixed("model.diffusion_model.", flux1())
    forge = nf4(diffusion, nested=False)
    rest = {**fp8({**clip, **t5}).tensors, **typed(ae, "BF16").tensors}
    xl, one = unet("xl"), unet("sd15")
    sd_vae = prefixed("first_stage_model.", ldm_vae(4, bn=False, quant=True))
    clip_xl = prefixed("conditioner.embedders.0.transformer.", meta(CLIPTextModel, clip_config(768, 12, 3072)))
    clip_one = prefixed("cond_stage_model.transformer.", meta(CLIPTextModel, clip_config(768, 12, 3072)))
    return {
        "flux1-dev-checkpoint-fp8-comfy": fp8({**diffusion, **ae, **clip, **t5}),
        "flux1-dev-checkpoint-nf4-forge": Header("safetensors", {**forge.tensors, **rest}, {}),
        "flux1-schnell-checkpoint-fp8-comfy": fp8(
            {**prefixed("model.diffusion_model.", flux1(guidance=False)), **ae, **clip, **t5}
        ),
        "sdxl-base-checkpoint": typed({**prefixed("model.diffusion_model.", ldm_unet(xl)), **sd_vae, **clip_xl}, "F16"),
        "sd15-checkpoint": typed({**prefixed("model.diffusion_model.", ldm_unet(one)), **sd_vae, **clip_one}, "F16"),
        "sdxl-unet-diffusers": typed(xl, "F16", {"format": "pt"}),
        "sd15-unet-diffusers": typed(one, "F16", {"format": "pt"}),
    }


def unet(kind: str) -> Shapes:
    if kind == "sd15":
        return meta(UNet2DConditionModel, cross_attention_dim=768, sample_size=64)
    return meta(
        UNet2DConditionModel, sample_size=128, block_out_channels=(320, 640, 1280), attention_head_dim=[5, 10, 20],
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=[1, 2, 10],
        cross_attention_dim=2048, addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816, use_linear_projection=True,
    )  # fmt: skip


def ldm_unet(shapes: Shapes) -> Shapes:
    """The original's names of a U-Net: numbered blocks in place of down, mid and up.

    Only the names that matter for telling it apart are renamed exactly; block numbers follow the original's counting.
    """
    per = 3  # a level of the original: two blocks and the change of size
    found: Shapes = {}
    ends = {
        "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2", "conv_norm_out": "out.0", "conv_out": "out.2",
    }  # fmt: skip
    inner = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip

    def resnet(rest: str) -> str:
        module, _, leaf = rest.rpartition(".")
        return f"{inner[module]}.{leaf}"

    for name, shape in shapes.items():
        module, _, leaf = name.rpartition(".")
        part = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
        middle = re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name)
        if module in ends:
            new = f"{ends[module]}.{leaf}"
        elif middle:
            what, number, rest = middle.groups()
            new = f"middle_block.{1 if what == 'attentions' else 2 * int(number)}.{rest if what == 'attentions' else resnet(rest)}"
        elif part:
            side, level, what, number, rest = part.groups()
            down = side == "down"
            if what == "downsamplers":
                new = f"input_blocks.{per * (int(level) + 1)}.0.op.{leaf}"
            elif what == "upsamplers":
                attended = any(key.startswith(f"up_blocks.{level}.attentions.") for key in shapes)
                new = f"output_blocks.{per * int(level) + 2}.{2 if attended else 1}.conv.{leaf}"
            else:
                place = per * int(level) + int(number) + (1 if down else 0)
                stem = f"{'input' if down else 'output'}_blocks.{place}"
                new = f"{stem}.1.{rest}" if what == "attentions" else f"{stem}.0.{resnet(rest)}"
        else:
            raise ValueError(name)
        found[new] = shape
    return found


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


def other_layouts() -> dict[str, Header]:
    flux1_vae = meta(
        AutoencoderKL, latent_channels=16, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
        use_quant_conv=False, use_post_quant_conv=False, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    flux2_vae = meta(AutoencoderKLFlux2)
    sd_vae = meta(
        AutoencoderKL, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    net = meta(FluxControlNetModel, num_layers=5, num_single_layers=10, num_mode=10, guidance_embeds=True)
    plain = meta(FluxControlNetModel, num_layers=6, num_single_layers=0, guidance_embeds=True)
    ip: Shapes = {"ip_adapter_proj_model.proj.weight": (16384, 768), "ip_adapter_proj_model.proj.bias": (16384,)}
    ip |= {"ip_adapter_proj_model.norm.weight": (4096,), "ip_adapter_proj_model.norm.bias": (4096,)}
    for block in range(19):
        for each in ("k", "v"):
            ip |= linear(f"double_blocks.{block}.processor.ip_adapter_double_stream_{each}_proj", 3072, 4096)
    ae = ldm_vae(16, bn=False, quant=False)
    with torch.device("meta"):
        held = convert.convert_ldm_vae_checkpoint(
            {name: torch.empty(shape) for name, shape in ae.items()},
            {"down_block_types": [""] * 4, "up_block_types": [""] * 4, "layers_per_block": 2},
        )
    # diffusers makes its attention's 1 x 1 convolutions linear; their shapes are compared by size
    assert {name: value.numel() for name, value in held.items()} == {
        name: torch.Size(shape).numel() for name, shape in flux1_vae.items()
    }
    return {
        "flux1-ae-bfl": typed(ae, "F32"),
        "flux1-vae-diffusers": typed(flux1_vae, "BF16", {"format": "pt"}),
        "flux2-vae-diffusers": typed(flux2_vae, "F32", {"format": "pt"}),
        "flux2-ae-bfl": typed(ldm_vae(32, bn=True, quant=True), "F32"),
        "sdxl-vae-diffusers": typed(sd_vae, "F32", {"format": "pt"}),
        "sd-vae-ldm": typed(ldm_vae(4, bn=False, quant=True), "F32"),
        "flux1-redux-dev": typed(linear("redux_up", 12288, 1152) | linear("redux_down", 4096, 12288), "BF16"),
        "flux1-ip-adapter-xlabs": typed(ip, "BF16"),
        "flux1-controlnet-union-diffusers": typed(net, "BF16", {"format": "pt"}),
        "flux1-controlnet-diffusers": typed(plain, "BF16", {"format": "pt"}),
    }


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


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    layouts = transformers_layouts() | checkpoint_layouts() | encoder_layouts() | other_layouts() | adapter_layouts()
    for name, header in layouts.items():
        (OUT / f"{name}.json").write_text(to_json(header), encoding="utf-8")
    total = sum(path.stat().st_size for path in OUT.glob("*.json"))
    print(json.dumps({"layouts": len(layouts), "bytes": total}))


if __name__ == "__main__":
    main()
