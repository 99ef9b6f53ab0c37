# ruff: noqa: D103 - tables of names and shapes, read line by line
"""Transformers of FLUX.1, 2 and 3; the originals' names are held against diffusers' converters."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import Flux2Transformer2DModel, Flux3Transformer2DModel, FluxTransformer2DModel
from diffusers.loaders import single_file_utils as convert

from scripts.layouts.names import Shapes, meta, prefixed
from scripts.layouts.originals import flux1, flux2
from scripts.layouts.packed import fp8, gguf, int8, nf4, typed
from workbench.models.identify.header import Header


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
