"""What the engine tells while it works, and what it hands over when a picture is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL.Image import Image

from workbench.errors import WorkbenchError
from workbench.recipe import Recipe, ResolvedRecipe


@dataclass(frozen=True, slots=True)
class Planned:
    """Sent once, before any work: how much there is."""

    total: int  # recipes given
    unique: int  # distinct digests among them
    batches: int


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step of one picture is done."""

    digest: str
    step: int  # 1 to steps
    steps: int
    preview: Image | None  # a small picture of the current estimate, or None when none was asked for


@dataclass(frozen=True, slots=True)
class Finished:
    """One recipe is done, well or badly."""

    digest: str
    done: int  # unique pictures finished so far, this one included
    total: int  # unique pictures in this run
    error: WorkbenchError | None = None


@dataclass(frozen=True, slots=True)
class Saving:
    """Memory is short: what is given up for it, told before the work that needs it."""

    model: str
    given_up: str  # a rung of the memory ladder, as in `Result.fallbacks`
    why: str  # the plan's figures, or the stage in which memory ran out

    def __str__(self) -> str:
        return f"{self.model}: {self.given_up} ({self.why})."


Event = Planned | Step | Finished | Saving
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What one recipe gave. Exactly one of `picture` and `error` is set."""

    index: int  # position in the list of recipes given to `run`
    recipe: Recipe  # as given
    resolved: ResolvedRecipe | None  # None when the recipe could not be resolved
    picture: Image | None = None  # RGB, 8 bits a channel
    error: WorkbenchError | None = None
    seconds: dict[str, float] = field(default_factory=dict)  # text, denoise, decode: this picture's share of its batch
    peak_bytes: int = 0  # peak memory of the process (CPU) or the device, in bytes
    environment: dict[str, str] = field(default_factory=dict)  # device, precision, batch size, library versions
    fallbacks: tuple[str, ...] = ()  # rungs of the memory ladder that were taken, in order
    warnings: tuple[str, ...] = ()  # for example: the prompt is longer than the text encoder reads
    caption: str = ""  # what a prompt upsampler wrote from the prompt; '' without one, and for stored pictures
    reused: bool = False  # an equal recipe (same digest) had made this picture already

    @property
    def digest(self) -> str:
        """The digest of the resolved recipe, or an empty string when it could not be resolved."""
        return self.resolved.digest if self.resolved else ""


class CancelToken:
    """Set from any thread; the engine looks at it before every denoising step."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._dropped: set[str] = set()

    def cancel(self) -> None:
        """Ask the work to stop within one step. Finished pictures are kept."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def drop(self, digest: str) -> None:
        """Ask for one picture not to be made; it leaves its batch within one step, and the others go on."""
        self._dropped.add(digest)

    def dropped(self, digest: str) -> bool:
        """Whether the picture of `digest` is not wanted any more."""
        return digest in self._dropped
