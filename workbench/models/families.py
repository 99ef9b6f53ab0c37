"""The one table of model families: what a family's checkpoints need to be loaded, run, trained and licensed.

Inference, training, panels and documentation read these rows; no constant of a family stands anywhere else. A row
describes an architecture with its text encoding; what differs between checkpoints of a family (width, depth, distilled
or not) is read from the checkpoint's own files by `workbench.models.catalog`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from workbench.conditions import MAX_REFERENCES, Task


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One published set of weights of a family."""

    repository: str  # Hugging Face repository; empty: shipped with this package
    distilled: bool
    licence: str
    gated: bool  # whether the download needs an account that has accepted the licence
    parameters: float  # transformer parameters, in billions
    memory_gb: float  # transformer, text encoder and VAE in bfloat16, in 10^9 bytes, without activations


@dataclass(frozen=True, slots=True)
class Family:
    """One row: an architecture, how it reads text, what it draws, and its defaults.

    `text_layers` are indices into the text encoder's hidden states, 0 being the token embeddings, as diffusers counts
    them (`text_encoder_out_layers`). Sizes are in pixels, `max_sequence_length` in text tokens, padding included.
    """

    name: str
    title: str
    kind: str  # the architecture, a name in `workbench.engine.kinds`
    pipeline: str  # the diffusers pipeline class named in model_index.json: the loader's format and the tests' oracle
    components: Mapping[str, str]  # folder -> model class
    tasks: tuple[Task, ...]
    text_layers: tuple[int, ...]
    max_sequence_length: int
    size_multiple: int
    min_side: int
    max_side: int
    max_pixels: int
    width: int
    height: int
    steps: int
    guidance_scale: float
    distilled_steps: int
    max_references: int
    reference_pixels: int  # area down to which a fitted reference is scaled
    adapter_targets: tuple[str, ...]  # ends of module names that a LoRA trains by default
    embeds_guidance: bool = False  # whether the guidance scale is an input of the transformer, not a second pass
    true_cfg: bool = False  # whether guidance by a second pass exists besides, with a scale of its own
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)

    @property
    def text_components(self) -> tuple[str, ...]:
        """Folders that decide what a prompt becomes."""
        return tuple(name for name in self.components if name.startswith(("text_encoder", "tokenizer")))

    def default_steps(self, *, distilled: bool) -> int:
        """Denoising steps of a checkpoint that states none."""
        return self.distilled_steps if distilled else self.steps


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

_ALL_TASKS: tuple[Task, ...] = ("text-to-image", "image-to-image", "inpaint", "outpaint", "edit")

_KLEIN = Family(
    name="flux2-klein",
    title="FLUX.2 [klein]",
    kind="flux2-klein",
    pipeline="Flux2KleinPipeline",
    components=_KLEIN_COMPONENTS,
    tasks=_ALL_TASKS,
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
    checkpoints=MappingProxyType(
        {
            "FLUX.2-klein-4B": Checkpoint("black-forest-labs/FLUX.2-klein-4B", True, "Apache-2.0", False, 3.88, 16.0),
            "FLUX.2-klein-base-4B": Checkpoint(
                "black-forest-labs/FLUX.2-klein-base-4B", False, "Apache-2.0", False, 3.88, 16.0
            ),
            "FLUX.2-klein-9B": Checkpoint(
                "black-forest-labs/FLUX.2-klein-9B", True, "FLUX Non-Commercial", True, 9.08, 34.7
            ),
            "FLUX.2-klein-base-9B": Checkpoint(
                "black-forest-labs/FLUX.2-klein-base-9B", False, "FLUX Non-Commercial", True, 9.08, 34.7
            ),
        }
    ),
)

_KLEIN_NANO = Family(
    name="flux2-klein-nano",
    title="klein-nano, FLUX.2 [klein] architecture in miniature",
    kind="flux2-klein",
    pipeline="Flux2KleinPipeline",
    components=_KLEIN_COMPONENTS,
    tasks=_ALL_TASKS,
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
    checkpoints=MappingProxyType(
        {
            "klein-nano-base": Checkpoint("", False, "Apache-2.0", False, 0.005, 0.025),
            "klein-nano": Checkpoint("", True, "Apache-2.0", False, 0.005, 0.025),
        }
    ),
)

FAMILIES: Mapping[str, Family] = MappingProxyType({row.name: row for row in (_KLEIN, _KLEIN_NANO)})
"""Every supported family by name."""
