"""What tells one architecture from another: one small function per kind of part, each a few names and shapes.

Shapes come from published configurations. Where several published models share one layout to the last shape (dev,
Krea-dev and Kontext-dev; klein and klein-base), all are named: weights alone differ, and headers do not show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from workbench.models.identify.parts import Tensors, blocks, columns, shape

Kind = Literal[
    "transformer", "unet", "checkpoint", "vae", "text-encoder", "image-encoder", "adapter", "control", "redux",
    "ip-adapter", "unknown",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule recognised."""

    kind: Kind
    family: str  # 'flux1', 'flux2', 'flux3', 'sdxl', 'sd15', 't5', 'clip', 'qwen3', ...
    variants: tuple[str, ...]  # published models of this layout, the likeliest first; empty: none that is known
    layout: str  # whose names: 'bfl', 'diffusers', 'transformers', 'ldm', 'llama.cpp', 'xlabs'
    facts: Mapping[str, int | bool] = field(default_factory=dict)


def flux1(tensors: Tensors) -> Found | None:
    """FLUX.1's transformer under either name."""
    bfl = "double_blocks.0.img_mod.lin.weight" in tensors and "vector_in.in_layer.weight" in tensors
    if not bfl and "time_text_embed.text_embedder.linear_1.weight" not in tensors:
        return None
    if not bfl and "single_transformer_blocks.0.norm.linear.weight" not in tensors:
        return None
    width = (shape(tensors, "img_in.bias", "x_embedder.bias") or (0,))[0]
    double = blocks(tensors, "double_blocks." if bfl else "transformer_blocks.")
    single = blocks(tensors, "single_blocks." if bfl else "single_transformer_blocks.")
    channels = columns(tensors, "img_in.weight" if bfl else "x_embedder.weight", width)
    guidance = (
        "guidance_in.in_layer.weight" if bfl else "time_text_embed.guidance_embedder.linear_1.weight"
    ) in tensors
    variants: tuple[str, ...] = ()
    if (width, double, single) == (3072, 19, 38):
        variants = {
            (64, False): ("schnell",),
            (64, True): ("dev", "Krea-dev", "Kontext-dev"),
            (128, True): ("Canny-dev", "Depth-dev"),
            (384, True): ("Fill-dev",),
        }.get((channels, guidance), ())
    elif (width, double, single) == (3072, 8, 38):
        variants = ("Lite-8B",)
    facts = {"width": width, "double": double, "single": single, "in_channels": channels, "guidance": guidance}
    return Found("transformer", "flux1", variants, "bfl" if bfl else "diffusers", facts)


def flux2(tensors: Tensors) -> Found | None:
    """FLUX.2's transformer under either name."""
    bfl = "single_stream_modulation.lin.weight" in tensors
    if not bfl and "single_stream_modulation.linear.weight" not in tensors:
        return None
    # Query and key norms are per head, and no layer has a bias, so the width is read from a layer that stays plain in
    # most files, or from what the first block's norm says of the heads.
    matrices = ("img_in.weight", "txt_in.weight") if bfl else ("x_embedder.weight", "context_embedder.weight")
    width = next((shape(tensors, name)[0] for name in matrices if shape(tensors, name)[1:] != (1,)), 0)
    double = blocks(tensors, "double_blocks." if bfl else "transformer_blocks.")
    single = blocks(tensors, "single_blocks." if bfl else "single_transformer_blocks.")
    guidance = (
        "guidance_in.in_layer.weight" if bfl else "time_guidance_embed.guidance_embedder.linear_1.weight"
    ) in tensors
    text = columns(tensors, matrices[1], width)
    variants = {
        (5, 20): ("klein-4B", "klein-base-4B"),
        (8, 24): ("klein-9B", "klein-base-9B", "klein-9b-kv"),
        (8, 48): ("dev",),
    }.get((double, single), ())
    published = {(5, 20): 3072, (8, 24): 4096, (8, 48): 6144}.get((double, single))
    if width and width != published:
        variants = ()
    facts = {"width": width or published or 0, "double": double, "single": single, "guidance": guidance, "text": text}
    return Found("transformer", "flux2", variants, "bfl" if bfl else "diffusers", facts)


def flux3(tensors: Tensors) -> Found | None:
    """FLUX.3's transformer; the step-distilled one has a second embedder of times."""
    bfl = "early_stream_modulations.image.lin.weight" in tensors
    if not bfl and "early_stream_modulations.image.linear.weight" not in tensors:
        return None
    distilled = "ref_time_in.in_layer.weight" in tensors or "target_timestep_embedder.linear_1.weight" in tensors
    single = blocks(tensors, "single_blocks." if bfl else "single_transformer_blocks.")
    early = blocks(tensors, "content_mode_blocks.image." if bfl else "mode_blocks.image.")
    variants = (("klein",) if distilled else ("klein-base",)) if (early, single) == (5, 28) else ()
    return Found(
        "transformer", "flux3", variants, "bfl" if bfl else "diffusers",
        {"double": early, "single": single, "distilled": distilled},
    )  # fmt: skip


def unet(tensors: Tensors) -> Found | None:
    """The U-Nets of Stable Diffusion 1.x, 2.x and XL."""
    ldm = "input_blocks.0.0.weight" in tensors
    if not ldm and "down_blocks.0.resnets.0.conv1.weight" not in tensors:
        return None
    if not ldm and "conv_in.weight" not in tensors:
        return None
    if any(
        name.startswith(("controlnet_cond_embedding.", "zero_convs.", "controlnet_down_blocks.")) for name in tensors
    ):
        return Found("control", "sd", (), "diffusers", {})
    channels = shape(tensors, "input_blocks.0.0.weight", "conv_in.weight")[1]
    label = "label_emb.0.0.weight" in tensors or "add_embedding.linear_1.weight" in tensors
    text = next((entry.shape[1] for name, entry in tensors.items() if name.endswith("attn2.to_k.weight")), 0)
    family = "sdxl" if label and text == 2048 else "sdxl-refiner" if label else "sd21" if text == 1024 else "sd15"
    variants = {4: ("base",), 9: ("inpainting",), 8: ("instruct-pix2pix",)}.get(channels, ())
    return Found("unet", family, variants, "ldm" if ldm else "diffusers", {"in_channels": channels, "text": text})


def vae(tensors: Tensors) -> Found | None:
    """Autoencoders: 4 latent channels of Stable Diffusion, 16 of FLUX.1, 32 of FLUX.2 and FLUX.3."""
    entry = shape(tensors, "decoder.conv_in.weight")
    if len(entry) != 4:
        return None
    ldm = "decoder.mid.block_1.conv1.weight" in tensors or "decoder.up.0.block.0.conv1.weight" in tensors
    family, variants = {
        4: ("sd-vae", ("SD 1.5", "SD-XL")),
        16: ("flux1-vae", ("FLUX.1", "SD 3", "Z-Image")),
        32: ("flux2-vae", ("FLUX.2", "FLUX.3")),
    }.get(entry[1], ("", ()))
    if entry[1] == 16 and "quant_conv.weight" in tensors:
        family, variants = "", ()
    if "bn.running_mean" in tensors:  # the batch statistics of FLUX.2, whatever its size
        family = "flux2-vae"
    small = shape(tensors, "decoder.conv_in.weight")[0] < 512 and entry[1] == 32
    if small:
        variants = ("FLUX.2 small decoder",)
    return Found("vae", family, variants, "ldm" if ldm else "diffusers", {"latent_channels": entry[1]})


def redux(tensors: Tensors) -> Found | None:
    """The image embedder of FLUX.1 Redux."""
    if not {"redux_up.weight", "redux_down.weight"} <= tensors.keys():
        return None
    return Found("redux", "flux1", ("Redux-dev",), "diffusers", {"image": shape(tensors, "redux_up.weight")[-1]})


def ip_adapter(tensors: Tensors) -> Found | None:
    """Image prompts for FLUX.1 (XLabs, InstantX) and for Stable Diffusion."""
    if any(".processor.ip_adapter_" in name for name in tensors) or "ip_adapter_proj_model.proj.weight" in tensors:
        return Found("ip-adapter", "flux1", ("XLabs",), "xlabs", {})
    if any(name.startswith("ip_adapter.") for name in tensors) and any(
        name.startswith("image_proj.") for name in tensors
    ):
        text = next((e.shape[1] for n, e in tensors.items() if n.endswith("to_k_ip.weight") and len(e.shape) == 2), 0)
        family = {768: "sd15", 2048: "sdxl", 3072: "flux1"}.get(text, "")
        return Found("ip-adapter", family, (), "ip-adapter", {"text": text})
    return None


def control(tensors: Tensors) -> Found | None:
    """ControlNets for FLUX.1 in diffusers' naming (InstantX, Shakker) and XLabs'."""
    if "controlnet_x_embedder.weight" in tensors:
        union = "controlnet_mode_embedder.weight" in tensors
        facts = {
            "double": blocks(tensors, "transformer_blocks."),
            "single": blocks(tensors, "single_transformer_blocks."),
            "union": union,
        }
        return Found("control", "flux1", ("union ControlNet",) if union else ("ControlNet",), "diffusers", facts)
    if "controlnet_blocks.0.weight" in tensors and "pos_embed_input.weight" in tensors:
        return Found("control", "flux1", ("XLabs ControlNet",), "xlabs", {"double": blocks(tensors, "double_blocks.")})
    if any(name.startswith(("controlnet_cond_embedding.", "control_model.", "zero_convs.")) for name in tensors):
        return Found("control", "sd", ("ControlNet",), "diffusers", {})
    return None


def text_encoder(tensors: Tensors) -> Found | None:
    """T5, CLIP, Mistral Small, Qwen3 and Qwen3-VL under transformers' names, and llama.cpp's."""
    names = tensors.keys()
    if "encoder.block.0.layer.0.SelfAttention.q.weight" in names or "enc.blk.0.attn_q.weight" in names:
        llama = "enc.blk.0.attn_q.weight" in names
        width = shape(tensors, "encoder.final_layer_norm.weight", "enc.output_norm.weight")[0]
        count = blocks(tensors, "enc.blk." if llama else "encoder.block.")
        variants = {(4096, 24): ("T5-XXL",), (2048, 24): ("T5-XL",), (1024, 24): ("T5-large",)}.get((width, count), ())
        return Found("text-encoder", "t5", variants, "llama.cpp" if llama else "transformers", {"width": width})
    clip = shape(tensors, "text_model.embeddings.position_embedding.weight")
    if clip:
        variants = {768: ("CLIP-L",), 1280: ("CLIP-G",), 1024: ("CLIP-H",)}.get(clip[1], ())
        return Found("text-encoder", "clip", variants, "transformers", {"width": clip[1], "tokens": clip[0]})
    return _language_model(tensors)


_LANGUAGE = ("model.language_model.", "language_model.model.", "model.", "")


def _language_model(tensors: Tensors) -> Found | None:
    llama = "blk.0.attn_q.weight" in tensors
    for prefix in ("",) if llama else _LANGUAGE:
        layer = "blk.0." if llama else f"{prefix}layers.0."
        norm = shape(tensors, f"{layer}attn_norm.weight" if llama else f"{layer}input_layernorm.weight")
        if not norm:
            continue
        width = norm[0]
        count = blocks(tensors, "blk." if llama else f"{prefix}layers.")
        qwen = f"{layer}attn_q_norm.weight" in tensors or f"{layer}self_attn.q_norm.weight" in tensors
        sees = any(".visual." in f".{name}" or "vision_tower." in name for name in tensors)
        family = ("qwen3-vl" if sees else "qwen3") if qwen else "mistral"
        if qwen:
            size = {(2560, 36): "4B", (4096, 36): "8B", (1024, 28): "0.6B", (2048, 28): "1.7B"}.get((width, count))
            title = "Qwen3-VL" if sees else "Qwen3"
            variants: tuple[str, ...] = (f"{title}-{size}",) if size else ()
        else:
            variants = ("Mistral-Small-3.2-24B", "Mistral-Small-3.1-24B") if (width, count) == (5120, 40) else ()
            if not variants and width == 5120 and count == 30:
                variants = ("Mistral-Small-3.2-24B, first 30 layers",)
        layout = "llama.cpp" if llama else "transformers"
        facts = {"width": width, "layers": count, "vision": sees}
        return Found("text-encoder", family, variants, layout, facts)
    return None


def image_encoder(tensors: Tensors) -> Found | None:
    """SigLIP and CLIP's picture towers."""
    patches = shape(tensors, "vision_model.embeddings.patch_embedding.weight")
    if not patches:
        return None
    siglip = "vision_model.embeddings.class_embedding" not in tensors
    return Found("image-encoder", "siglip" if siglip else "clip-vision", (), "transformers", {"width": patches[0]})


RULES: tuple[Callable[[Tensors], Found | None], ...] = (
    flux3, flux2, control, ip_adapter, flux1, redux, unet, image_encoder, text_encoder, vae,
)  # fmt: skip
"""In the order in which they are asked: a ControlNet or an IP adapter has some of its transformer's names too."""

# Models that are known but not drawn with: one name that only they have.
FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        "distilled_guidance_layer.in_proj.bias": "Chroma",
        "joint_blocks.0.context_block.adaLN_modulation.1.weight": "Stable Diffusion 3",
        "cap_embedder.0.weight": "Z-Image or Lumina",
        "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias": "HunyuanVideo",
        "patchify_proj.weight": "LTX-Video",
        "head.modulation": "Wan",
        "transformer_blocks.0.img_mod.1.weight": "Qwen-Image",
        "double_stream_blocks.0.block.adaLN_modulation.1.bias": "HiDream",
        "t_embedder.mlp.0.weight": "AuraFlow or another DiT",
    }
)
