"""FLUX.2 [dev].

Figures: the model card of black-forest-labs/FLUX.2-dev and the call defaults of diffusers 0.42; memory from parameter
counts.
"""

from __future__ import annotations

from types import MappingProxyType

from workbench.models.family import Checkpoint, Family, Part
from workbench.models.family_rows import klein
from workbench.recipe.conditions import MAX_REFERENCES

_PARTS = MappingProxyType(
    {"transformer": Part(32.223, 31.407), "text_encoder": Part(17.344, 16.672), "vae": Part(0.084)}
)

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
    steps=50,
    guidance_scale=4.0,
    distilled_steps=50,
    max_references=MAX_REFERENCES,
    adapter_targets=klein.ROWS[0].adapter_targets,
    embeds_guidance=True,
    regions=True,
    caches=("taylorseer", "magcache"),
    distilled=False,
    checkpoints=MappingProxyType(
        {
            "FLUX.2-dev": Checkpoint(
                "black-forest-labs/FLUX.2-dev", False, "FLUX.2 [dev] Non-Commercial", True, _PARTS, 6144, 112.6
            )
        }
    ),
)

ROWS = (_DEV,)
