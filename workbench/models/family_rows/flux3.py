"""FLUX.3 [klein] and its base.

Figures: the model cards of black-forest-labs/flux-3-image-klein and -klein-base, whose guidance of 4 the modular blocks of
diffusers 0.42 have as 3.5; these state the shift of the schedule; memory from parameter counts, without the prompt upsampler.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from workbench.models.family import Checkpoint, Family, Part
from workbench.models.family_rows import klein
from workbench.recipe.conditions import MAX_REFERENCES

_LICENCE = "FLUX Kommunity License v1.0"

_PARTS = MappingProxyType({"transformer": Part(5.54, 5.275), "text_encoder": Part(3.619, 3.23), "vae": Part(0.084)})
_REPOSITORY = "black-forest-labs/flux-3-image-klein"

_BASE = Family(
    name="flux3-klein-base",
    title="FLUX.3 [klein] base",
    kind="flux3",
    pipeline="Flux3ModularPipeline",
    components=MappingProxyType(
        {
            "transformer": "Flux3Transformer2DModel",
            "vae": "AutoencoderKLFlux2",
            "text_encoder": "Qwen3VLForConditionalGeneration",
            "tokenizer": "AutoProcessor",
            "scheduler": "FlowMatchEulerDiscreteScheduler",
        }
    ),
    scheduler=MappingProxyType({"num_train_timesteps": 1000, "shift": 6.93, "use_dynamic_shifting": False}),
    tasks=klein.ROWS[0].tasks,
    text_layers=(4, 8, 12, 16, 20, 24, 28, 32),
    max_sequence_length=8192,
    steps=50,
    guidance_scale=4.0,
    distilled_steps=16,
    max_references=MAX_REFERENCES,
    canvas_pixels=4 * 1024 * 1024,
    adapter_targets=(
        "attn.to_q",
        "attn.to_k",
        "attn.to_v",
        "attn.to_out.0",
        "ff.linear_in",
        "ff.linear_out",
    ),
    boxes=True,
    upsampler="flux-3-image-klein-pup",
    regions=True,
    distilled=False,
    config=MappingProxyType({"flow_map": False}),
    checkpoints=MappingProxyType(
        {
            "flux-3-image-klein-base": Checkpoint(
                f"{_REPOSITORY}-base", False, _LICENCE, True, _PARTS, 3072, 20.2, "flux-3-image-klein"
            )
        }
    ),
)

_KLEIN = replace(
    _BASE,
    name="flux3-klein",
    title="FLUX.3 [klein]",
    pipeline="Flux3DistilledModularPipeline",
    distilled=True,
    config=MappingProxyType({"flow_map": True}),
    checkpoints=MappingProxyType(
        {
            "flux-3-image-klein": Checkpoint(
                _REPOSITORY, True, _LICENCE, True, _PARTS, 3072, 20.2, "flux-3-image-klein-base"
            )
        }
    ),
)

ROWS = (_KLEIN, _BASE)
