"""What a row of the table of families says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.conditions import Task


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One published set of weights of a family."""

    repository: str  # Hugging Face repository; empty: shipped with this package
    distilled: bool
    licence: str
    gated: bool  # whether the download needs an account that has accepted the licence
    parameters: float  # transformer parameters, in billions
    memory_gb: float  # transformer, text encoders and VAE in bfloat16, in 10^9 bytes, without activations
    partner: str = ""  # the same weights before or after step distillation, where both are published
    advised_guidance: float | None = None  # of its card, where its files cannot tell it from others of the family


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
    distilled: bool | None = None  # None: each checkpoint's index says it
    config: Mapping[str, object] = field(default_factory=dict)  # of the transformer: tells rows of one pipeline apart
    reference_sizes: tuple[tuple[int, int], ...] = ()  # a fitted reference is brought to the nearest ratio; empty: any
    scheduler: Mapping[str, object] | None = None  # its configuration, where checkpoints have none of their own
    canvas_pixels: int = 0  # area of the canvas on which a single reference is kept whole; 0: it is cut as several are
    regions: bool = False  # whether attention can keep the texts of several regions apart
    boxes: bool = False  # whether a table of boxes behind the prompt places what it names
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)

    @property
    def denoiser(self) -> str:
        """Folder of the network that denoises."""
        return "transformer" if "transformer" in self.components else "unet"

    @property
    def stored(self) -> dict[str, str]:
        """The components that a checkpoint has files of."""
        return {name: cls for name, cls in self.components.items() if name != "scheduler" or self.scheduler is None}

    @property
    def text_components(self) -> tuple[str, ...]:
        """Folders that decide what a prompt becomes."""
        return tuple(name for name in self.components if name.startswith(("text_encoder", "tokenizer")))

    def default_steps(self, *, distilled: bool) -> int:
        """Denoising steps of a checkpoint that states none."""
        return self.distilled_steps if distilled else self.steps
