# ruff: noqa: D103 - tables of names and shapes, read line by line
"""Full checkpoints, U-Nets, autoencoders, control models, Redux and IP adapters."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, AutoencoderKLFlux2, FluxControlNetModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils as convert
from transformers import CLIPTextModel, T5EncoderModel

from scripts.layouts.encoders import clip_config, t5_config
from scripts.layouts.names import Shapes, linear, meta, prefixed
from scripts.layouts.originals import flux1, ldm_unet, ldm_vae
from scripts.layouts.packed import fp8, nf4, typed
from workbench.models.identify.header import Header


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
