"""FLUX.2 [dev].

Figures: the model card of black-forest-labs/FLUX.2-dev and the call defaults of diffusers 0.42; memory from parameter
counts.
"""

from __future__ import annotations

from types import MappingProxyType

from workbench.conditions import MAX_REFERENCES
from workbench.models.family import Checkpoint, Family
from workbench.models.family_rows import klein

_DEV = Family(
    name="flux2-dev",
    title="FLUX.2 [dev]",
    kind="flux2-dev",
    pipeline="Flux2Pipeline",
    components=MappingProxyType(
        {
            "transformer": "Flux2Transformer2DModel",
            "vae": "AutoencoderKLFlux2",
            "text_encoder": "Mistral3ForConditionalGeneration",
            "tokenizer": "AutoProcessor",
            "scheduler": "FlowMatchEulerDiscreteScheduler",
        }
    ),
    tasks=klein.ROWS[0].tasks,
    text_layers=(10, 20, 30),
    max_sequence_length=512,
    size_multiple=16,
    min_side=64,
    max_side=4096,
    max_pixels=4 * 1024 * 1024,
    width=1024,
    height=1024,
    steps=50,
    guidance_scale=4.0,
    distilled_steps=50,
    max_references=MAX_REFERENCES,
    reference_pixels=1024 * 1024,
    adapter_targets=klein.ROWS[0].adapter_targets,
    embeds_guidance=True,
    regions=True,
    distilled=False,
    checkpoints=MappingProxyType(
        {
            "FLUX.2-dev": Checkpoint(
                "black-forest-labs/FLUX.2-dev", False, "FLUX.2 [dev] Non-Commercial", True, 32.2, 112.6
            )
        }
    ),
)

ROWS = (_DEV,)
