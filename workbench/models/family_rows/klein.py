"""FLUX.2 [klein] and its miniature."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from workbench.models.family import Checkpoint, Family, Part
from workbench.recipe.conditions import MAX_REFERENCES, Task

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

_FOUR = MappingProxyType({"transformer": Part(3.876, 3.681), "text_encoder": Part(3.114, 2.725), "vae": Part(0.084)})
_NINE = MappingProxyType({"transformer": Part(9.079, 8.724), "text_encoder": Part(5.832, 5.209), "vae": Part(0.084)})
_MINI = MappingProxyType(
    {"transformer": Part(0.004627, 0.003834), "text_encoder": Part(0.000424), "vae": Part(0.000927)}
)


def _four(name: str, distilled: bool, partner: str) -> Checkpoint:
    return Checkpoint(f"black-forest-labs/{name}", distilled, "Apache-2.0", False, _FOUR, 3072, 16.0, partner)


def _nine(name: str, distilled: bool, partner: str = "") -> Checkpoint:
    return Checkpoint(f"black-forest-labs/{name}", distilled, "FLUX Non-Commercial", True, _NINE, 4096, 34.7, partner)


def _nano(distilled: bool, partner: str) -> Checkpoint:
    return Checkpoint("", distilled, "Apache-2.0", False, _MINI, 192, 0.014, partner)


_KLEIN = Family(
    name="flux2-klein",
    title="FLUX.2 [klein]",
    kind="flux2-klein",
    pipeline="Flux2KleinPipeline",
    components=_KLEIN_COMPONENTS,
    tasks=_TASKS,
    text_layers=(9, 18, 27),
    max_sequence_length=512,
    steps=50,
    guidance_scale=4.0,
    distilled_steps=4,
    max_references=MAX_REFERENCES,
    adapter_targets=_KLEIN_TARGETS,
    regions=True,
    caches=("taylorseer", "magcache"),
    checkpoints=MappingProxyType(
        {
            "FLUX.2-klein-4B": _four("FLUX.2-klein-4B", True, "FLUX.2-klein-base-4B"),
            "FLUX.2-klein-base-4B": _four("FLUX.2-klein-base-4B", False, "FLUX.2-klein-4B"),
            "FLUX.2-klein-9B": _nine("FLUX.2-klein-9B", True, "FLUX.2-klein-base-9B"),
            "FLUX.2-klein-base-9B": _nine("FLUX.2-klein-base-9B", False, "FLUX.2-klein-9B"),
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
    caches=(),  # it keeps what its references are already, exactly, and its first pass is of another shape
    checkpoints=MappingProxyType({"FLUX.2-klein-9b-kv": _nine("FLUX.2-klein-9b-kv", True)}),
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
    caches=("taylorseer", "magcache"),
    checkpoints=MappingProxyType(
        {
            "klein-nano-base": _nano(False, "klein-nano"),
            "klein-nano": _nano(True, "klein-nano-base"),
        }
    ),
)

ROWS = (_KLEIN, _KLEIN_KV, _KLEIN_NANO)
