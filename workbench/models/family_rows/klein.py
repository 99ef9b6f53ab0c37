"""FLUX.2 [klein] and its miniature."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from workbench.conditions import MAX_REFERENCES, Task
from workbench.models.family import Checkpoint, Family

_KLEIN_COMPONENTS = MappingProxyType(
    {
        "transformer": "Flux2Transformer2DModel",
        "vae": "AutoencoderKLFlux2",
        "text_encoder": "Qwen3ForCausalLM",
        "tokenizer": "Qwen2Tokenizer",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
    }
)

# Full ends, because the double blocks keep `to_out` in a ModuleList while the single blocks have a Linear of that name.
_KLEIN_TARGETS = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
    "attn.to_qkv_mlp_proj",
    "attn.to_out",
)

_TASKS: tuple[Task, ...] = ("text-to-image", "image-to-image", "inpaint", "outpaint", "edit")

_KLEIN = Family(
    name="flux2-klein",
    title="FLUX.2 [klein]",
    kind="flux2-klein",
    pipeline="Flux2KleinPipeline",
    components=_KLEIN_COMPONENTS,
    tasks=_TASKS,
    text_layers=(9, 18, 27),
    max_sequence_length=512,
    size_multiple=16,
    min_side=64,
    max_side=4096,
    max_pixels=4 * 1024 * 1024,
    width=1024,
    height=1024,
    steps=50,
    guidance_scale=4.0,
    distilled_steps=4,
    max_references=MAX_REFERENCES,
    reference_pixels=1024 * 1024,
    adapter_targets=_KLEIN_TARGETS,
    regions=True,
    checkpoints=MappingProxyType(
        {
            "FLUX.2-klein-4B": Checkpoint(
                "black-forest-labs/FLUX.2-klein-4B", True, "Apache-2.0", False, 3.88, 16.0, "FLUX.2-klein-base-4B"
            ),
            "FLUX.2-klein-base-4B": Checkpoint(
                "black-forest-labs/FLUX.2-klein-base-4B", False, "Apache-2.0", False, 3.88, 16.0, "FLUX.2-klein-4B"
            ),
            "FLUX.2-klein-9B": Checkpoint(
                "black-forest-labs/FLUX.2-klein-9B",
                True,
                "FLUX Non-Commercial",
                True,
                9.08,
                34.7,
                "FLUX.2-klein-base-9B",
            ),
            "FLUX.2-klein-base-9B": Checkpoint(
                "black-forest-labs/FLUX.2-klein-base-9B",
                False,
                "FLUX Non-Commercial",
                True,
                9.08,
                34.7,
                "FLUX.2-klein-9B",
            ),
        }
    ),
)

_KLEIN_KV = replace(
    _KLEIN,
    name="flux2-klein-kv",
    title="FLUX.2 [klein] 9B-KV",
    kind="flux2-klein-kv",
    pipeline="Flux2KleinKVPipeline",
    distilled=True,
    regions=False,  # its attention takes no mask
    checkpoints=MappingProxyType(
        {
            "FLUX.2-klein-9b-kv": Checkpoint(
                "black-forest-labs/FLUX.2-klein-9b-kv", True, "FLUX Non-Commercial", True, 9.08, 34.7
            )
        }
    ),
)

_KLEIN_NANO = Family(
    name="flux2-klein-nano",
    title="klein-nano, FLUX.2 [klein] architecture in miniature",
    kind="flux2-klein",
    pipeline="Flux2KleinPipeline",
    components=_KLEIN_COMPONENTS,
    tasks=_TASKS,
    text_layers=(1, 2, 3),
    max_sequence_length=32,
    size_multiple=16,
    min_side=64,
    max_side=256,
    max_pixels=256 * 256,
    width=128,
    height=128,
    steps=28,
    guidance_scale=4.0,
    distilled_steps=4,
    max_references=4,
    reference_pixels=256 * 256,
    adapter_targets=_KLEIN_TARGETS,
    regions=True,
    checkpoints=MappingProxyType(
        {
            "klein-nano-base": Checkpoint("", False, "Apache-2.0", False, 0.005, 0.025, "klein-nano"),
            "klein-nano": Checkpoint("", True, "Apache-2.0", False, 0.005, 0.025, "klein-nano-base"),
        }
    ),
)

ROWS = (_KLEIN, _KLEIN_KV, _KLEIN_NANO)
