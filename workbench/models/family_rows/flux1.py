"""FLUX.1: dev with Krea-dev, schnell, Kontext, Fill, Canny and Depth.

Figures: model cards of black-forest-labs and the call defaults of diffusers 0.42; memory from parameter counts.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from workbench.models.family import Addition, Checkpoint, Family, Part
from workbench.recipe.conditions import Task

_COMPONENTS = MappingProxyType(
    {
        "transformer": "FluxTransformer2DModel",
        "vae": "AutoencoderKL",
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "T5EncoderModel",
        "tokenizer": "CLIPTokenizer",
        "tokenizer_2": "T5TokenizerFast",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
    }
)

# Full ends, as the last layer of the transformer is called `proj_out` like those of the single blocks.
_TARGETS = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
    "ff.net.0.proj",
    "ff.net.2",
    "ff_context.net.0.proj",
    "ff_context.net.2",
)

# Sizes that Kontext was trained on. Source: PREFERRED_KONTEXT_RESOLUTIONS of diffusers, width and height.
_KONTEXT_SIZES = (
    *((672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104)),
    (1024, 1024),
    *((1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688), (1568, 672)),
)

_PLAIN: tuple[Task, ...] = ("text-to-image", "image-to-image", "inpaint", "outpaint")
_LICENCE = "FLUX.1 [dev] Non-Commercial"


_PARTS = MappingProxyType(
    {
        "transformer": Part(11.901, 11.834),
        "text_encoder": Part(0.123, 0.085),
        "text_encoder_2": Part(4.762, 4.631),
        "vae": Part(0.084),
    }
)


def _dev(name: str, guidance: float | None = None) -> Checkpoint:
    repository = f"black-forest-labs/{name}"
    return Checkpoint(repository, False, _LICENCE, True, _PARTS, 3072, 33.7, advised_guidance=guidance)


_DEV = Family(
    name="flux1-dev",
    title="FLUX.1 [dev]",
    kind="flux1",
    pipeline="FluxPipeline",
    components=_COMPONENTS,
    tasks=(*_PLAIN, "variation", "control"),  # control with a control LoRA among the adapters
    text_layers=(),
    max_sequence_length=512,
    steps=28,
    guidance_scale=3.5,
    distilled_steps=4,
    max_references=0,
    adapter_targets=_TARGETS,
    embeds_guidance=True,
    true_cfg=True,
    regions=True,
    distilled=False,
    config=MappingProxyType({"guidance_embeds": True}),
    caches=("taylorseer", "magcache", "first_block"),
    checkpoints=MappingProxyType(
        {"FLUX.1-dev": _dev("FLUX.1-dev"), "FLUX.1-Krea-dev": _dev("FLUX.1-Krea-dev", 4.5)},
    ),
    additions=MappingProxyType(
        {
            "FLUX.1-Canny-dev-lora": Addition(
                "black-forest-labs/FLUX.1-Canny-dev-lora", "control LoRA", "control", _LICENCE, True, 1.2, 50, 30.0
            ),
            "FLUX.1-Depth-dev-lora": Addition(
                "black-forest-labs/FLUX.1-Depth-dev-lora", "control LoRA", "control", _LICENCE, True, 1.2, 50, 10.0
            ),
            "FLUX.1-Redux-dev": Addition(
                "black-forest-labs/FLUX.1-Redux-dev", "companion", "variation", _LICENCE, True, 1.0, 50, 2.5
            ),
        }
    ),
)

_SCHNELL = replace(
    _DEV,
    name="flux1-schnell",
    title="FLUX.1 [schnell]",
    tasks=(*_PLAIN, "variation"),
    max_sequence_length=256,
    steps=4,
    guidance_scale=1.0,
    embeds_guidance=False,
    distilled=True,
    config=MappingProxyType({"guidance_embeds": False}),
    checkpoints=MappingProxyType(
        {
            "FLUX.1-schnell": Checkpoint(
                "black-forest-labs/FLUX.1-schnell", True, "Apache-2.0", False, _PARTS, 3072, 33.7
            )
        }
    ),
    additions={},
)

_KONTEXT = replace(
    _DEV,
    name="flux1-kontext",
    title="FLUX.1 Kontext [dev]",
    pipeline="FluxKontextPipeline",
    tasks=(*_PLAIN, "edit"),
    guidance_scale=2.5,
    max_references=1,
    reference_sizes=_KONTEXT_SIZES,
    checkpoints=MappingProxyType({"FLUX.1-Kontext-dev": _dev("FLUX.1-Kontext-dev")}),
    additions={},
)

_FILL = replace(
    _DEV,
    name="flux1-fill",
    title="FLUX.1 Fill [dev]",
    kind="flux1-fill",
    pipeline="FluxFillPipeline",
    tasks=("inpaint", "outpaint"),
    steps=50,
    guidance_scale=30.0,
    true_cfg=False,
    checkpoints=MappingProxyType({"FLUX.1-Fill-dev": _dev("FLUX.1-Fill-dev")}),
    additions={},
)

_CONTROL = replace(
    _DEV,
    name="flux1-control",
    title="FLUX.1 Canny and Depth [dev]",
    pipeline="FluxControlPipeline",
    tasks=("control", "image-to-image", "inpaint", "outpaint"),  # all along a control picture
    steps=50,
    guidance_scale=30.0,
    true_cfg=False,
    checkpoints=MappingProxyType(
        {"FLUX.1-Canny-dev": _dev("FLUX.1-Canny-dev"), "FLUX.1-Depth-dev": _dev("FLUX.1-Depth-dev", 10.0)}
    ),
    additions={},
)

ROWS = (_DEV, _SCHNELL, _KONTEXT, _FILL, _CONTROL)
