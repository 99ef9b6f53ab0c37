"""What a recipe needs to know of models, adapters and pictures to be resolved; `workbench.models` provides it."""

from __future__ import annotations

from typing import Literal, Protocol, cast

from workbench.recipe.conditions import PictureFacts, Task

Precision = Literal["float32", "bfloat16"]
Quantisation = Literal["int8", "fp8", "nf4", "int8+text", "fp8+text", "nf4+text"]
"""Of the transformer's blocks; with `+text` those of the text encoders too."""

PackedIn = Literal["int8", "fp8", "nf4"]


def packed_in(quantisation: Quantisation | None, component: str) -> PackedIn | None:
    """How the blocks of a component are kept; None: whole."""
    method, _, text = (quantisation or "").partition("+")
    if not method or not (component == "transformer" or (text and component.startswith("text_encoder"))):
        return None
    return cast("PackedIn", method)


class Defaults(Protocol):
    """What `resolve` needs to know of a model; `workbench.models.Model` provides it."""

    @property
    def name(self) -> str:
        """Name in the catalog."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the files that decide pixels."""
        ...

    @property
    def width(self) -> int:
        """Default width in pixels."""
        ...

    @property
    def height(self) -> int:
        """Default height in pixels."""
        ...

    @property
    def steps(self) -> int:
        """Default number of denoising steps."""
        ...

    @property
    def guidance_scale(self) -> float:
        """Default guidance scale."""
        ...

    @property
    def max_sequence_length(self) -> int:
        """Text tokens read, padding included."""
        ...

    @property
    def size_multiple(self) -> int:
        """Width and height are multiples of this."""
        ...

    @property
    def min_side(self) -> int:
        """Smallest width and height in pixels."""
        ...

    @property
    def max_side(self) -> int:
        """Largest width and height in pixels."""
        ...

    @property
    def max_pixels(self) -> int:
        """Largest product of width and height."""
        ...

    @property
    def is_distilled(self) -> bool:
        """Whether guidance has no effect."""
        ...

    @property
    def embeds_guidance(self) -> bool:
        """Whether the guidance scale is an input of the transformer, not a second pass."""
        ...

    @property
    def true_cfg(self) -> bool:
        """Whether it takes `true_cfg_scale`."""
        ...

    @property
    def is_baseline(self) -> bool:
        """Whether its stock pipeline draws, for comparison."""
        ...

    @property
    def regions(self) -> bool:
        """Whether parts of the picture can have prompts of their own."""
        ...

    @property
    def boxes(self) -> bool:
        """Whether it reads a table of boxes behind the prompt."""
        ...

    @property
    def upsampler(self) -> str:
        """Name of the published model that writes its captions, or ''."""
        ...

    @property
    def caches(self) -> tuple[str, ...]:
        """Approximate caches that its transformer can be run with."""
        ...

    @property
    def jumps(self) -> bool:
        """Whether it learned where each step leads, so that no other solver fits its steps."""
        ...

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it can do."""
        ...

    @property
    def max_references(self) -> int:
        """Most references of one picture."""
        ...

    def reference_size(self, width: int, height: int, *, alone: bool = False) -> tuple[int, int]:
        """The size in pixels at which a reference of this size, alone or among others, is read when it is fitted."""
        ...

    @property
    def precision(self) -> Precision:
        """Default arithmetic."""
        ...


class Catalog(Protocol):
    """Finds models and adapters by name; `workbench.models.catalog` provides it."""

    def model(self, name: str) -> Defaults:
        """The model called `name`."""
        ...

    def adapter_fingerprint(self, name: str) -> str:
        """SHA-256 of the adapter called `name`."""
        ...

    def companion_fingerprint(self, name: str) -> str:
        """SHA-256 over the files of a model that others need: Redux, a depth estimator."""
        ...

    def picture(self, name: str, *, mask: bool = False) -> PictureFacts:
        """The input picture at the path `name` or of the digest `name`, kept among the inputs; a mask as grey levels."""
        ...
