"""What a row of the table of families says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from workbench.recipe.conditions import Task
from workbench.recipe.known import PackedIn, Precision, Quantisation, packed_in

BYTES: Mapping[Precision, int] = {"float32": 4, "bfloat16": 2}
BITS: Mapping[PackedIn, float] = {"int8": 8, "fp8": 8, "nf4": 4.5}


@dataclass(frozen=True, slots=True)
class Part:
    """One component's size, as it is loaded: of a text encoder the layers that are read, without its head."""

    parameters: float  # in billions
    blocks: float = 0.0  # of these, in matrices that a quantisation packs; in billions

    def gigabytes(self, precision: Precision, packed: PackedIn | None = None) -> float:
        """Weights in 10^9 bytes: at `precision`, its blocks as `packed` where that is given."""
        blocks = self.blocks * (BITS[packed] / 8 if packed else BYTES[precision])
        return blocks + (self.parameters - self.blocks) * BYTES[precision]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One published set of weights of a family."""

    repository: str  # Hugging Face repository; empty: shipped with this package
    distilled: bool
    licence: str
    gated: bool  # whether the download needs an account that has accepted the licence
    parts: Mapping[str, Part]  # folder -> size, of everything with weights
    hidden: int  # width of the transformer's blocks
    download_gb: float  # weights of the published folder, in 10^9 bytes
    partner: str = ""  # the same weights before or after step distillation, where both are published
    advised_guidance: float | None = None  # of its card, where it is not the family's

    @property
    def parameters(self) -> float:
        """Parameters of the network that denoises, in billions."""
        return next(part.parameters for name, part in self.parts.items() if name in ("transformer", "unet"))

    def memory(self, precision: Precision, quantisation: Quantisation | None = None) -> dict[str, float]:
        """Weights of every component in memory, in 10^9 bytes, without activations."""
        return {name: part.gigabytes(precision, packed_in(quantisation, name)) for name, part in self.parts.items()}


@dataclass(frozen=True, slots=True)
class Addition:
    """A published file or folder that acts beside a family's checkpoints."""

    repository: str
    kind: Literal["control LoRA", "companion"]
    task: Task
    licence: str
    gated: bool
    download_gb: float
    steps: int
    guidance_scale: float


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
    steps: int
    guidance_scale: float
    distilled_steps: int
    max_references: int
    adapter_targets: tuple[str, ...]  # ends of module names that a LoRA trains by default
    size_multiple: int = 16
    min_side: int = 64
    max_side: int = 4096
    max_pixels: int = 4 * 1024 * 1024
    width: int = 1024
    height: int = 1024
    reference_pixels: int = 1024 * 1024  # area down to which a fitted reference is scaled
    embeds_guidance: bool = False  # whether the guidance scale is an input of the transformer, not a second pass
    true_cfg: bool = False  # whether guidance by a second pass exists besides, with a scale of its own
    distilled: bool | None = None  # None: each checkpoint's index says it
    config: Mapping[str, object] = field(default_factory=dict)  # of the transformer: tells rows of one pipeline apart
    reference_sizes: tuple[tuple[int, int], ...] = ()  # a fitted reference is brought to the nearest ratio; empty: any
    scheduler: Mapping[str, object] | None = None  # its configuration, where checkpoints have none of their own
    canvas_pixels: int = 0  # area of the canvas on which a single reference is kept whole; 0: it is cut as several are
    regions: bool = False  # whether attention can keep the texts of several regions apart
    boxes: bool = False  # whether a table of boxes behind the prompt places what it names
    upsampler: str = ""  # name of the published model that writes its captions from short requests
    caches: tuple[str, ...] = ()  # approximate caches that diffusers can run its transformer with
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    additions: Mapping[str, Addition] = field(default_factory=dict)

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
