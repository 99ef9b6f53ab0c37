"""Stable Diffusion 1.5 and XL, as baselines: drawn by their stock pipelines (`workbench.engine.stock`)."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from workbench.models.family import Checkpoint, Family, Part

_XL_PARTS = MappingProxyType(
    {"unet": Part(2.567), "text_encoder": Part(0.123), "text_encoder_2": Part(0.695), "vae": Part(0.084)}
)
_ONE_PARTS = MappingProxyType({"unet": Part(0.86), "text_encoder": Part(0.123), "vae": Part(0.084)})

_XL = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    kind="stock",
    pipeline="StableDiffusionXLPipeline",
    components=MappingProxyType(
        {
            "unet": "UNet2DConditionModel",
            "vae": "AutoencoderKL",
            "text_encoder": "CLIPTextModel",
            "text_encoder_2": "CLIPTextModelWithProjection",
            "tokenizer": "CLIPTokenizer",
            "tokenizer_2": "CLIPTokenizer",
            "scheduler": "EulerDiscreteScheduler",
        }
    ),
    tasks=("text-to-image", "image-to-image"),
    text_layers=(),
    max_sequence_length=77,
    size_multiple=8,
    max_side=2048,
    max_pixels=2 * 1024 * 1024,
    steps=50,
    guidance_scale=5.0,
    distilled_steps=4,
    max_references=0,
    adapter_targets=(),
    distilled=False,
    checkpoints=MappingProxyType(
        {
            "stable-diffusion-xl-base-1.0": Checkpoint(
                "stabilityai/stable-diffusion-xl-base-1.0",
                False,
                "CreativeML Open RAIL++-M",
                False,
                _XL_PARTS,
                320,
                13.9,
            )
        }
    ),
)

_ONE = replace(
    _XL,
    name="sd15",
    title="Stable Diffusion 1.5",
    pipeline="StableDiffusionPipeline",
    components=MappingProxyType(
        {
            "unet": "UNet2DConditionModel",
            "vae": "AutoencoderKL",
            "text_encoder": "CLIPTextModel",
            "tokenizer": "CLIPTokenizer",
            "scheduler": "PNDMScheduler",
        }
    ),
    max_side=1024,
    max_pixels=1024 * 1024,
    width=512,
    height=512,
    guidance_scale=7.5,
    checkpoints=MappingProxyType(
        {
            "stable-diffusion-v1-5": Checkpoint(
                "stable-diffusion-v1-5/stable-diffusion-v1-5",
                False,
                "CreativeML Open RAIL-M",
                False,
                _ONE_PARTS,
                320,
                4.3,
            )
        }
    ),
)

ROWS = (_XL, _ONE)
