"""One checkpoint that can be drawn with: its family's row, and what its own files say."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from workbench.models.canvas_sizes import on_canvas
from workbench.models.families import Checkpoint, Family
from workbench.models.fingerprint import FileHashes
from workbench.recipe import Precision
from workbench.recipe.conditions import Task, fit


@dataclass(frozen=True)
class Model:
    """One checkpoint that can be drawn with: its family's row, and what its own files say.

    Sizes are in pixels. `fingerprint` is computed when first asked for, as it reads the weights.
    """

    name: str
    path: Path
    family: Family
    is_distilled: bool
    precision: Precision
    revision: str  # commit of the hub snapshot the folder is, or ''
    repository: str  # of the hub that it was pulled from, or ''
    parameters: int  # of the transformer
    weight_bytes: int  # of all components on disk
    max_sequence_length: int  # text tokens read, padding included
    _files: tuple[Path, ...] = field(repr=False)
    _hashes: FileHashes = field(repr=False, compare=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every file that decides pixels."""
        identity = f"{self.family.pipeline} is_distilled={self.is_distilled}"
        return self._hashes.of_tree(self.path, self._files, identity)

    def component_fingerprint(self, *components: str) -> str:
        """SHA-256 over the files of some components, for caches of what only these decide."""
        files = [path for path in self._files if path.relative_to(self.path).parts[0] in components]
        return self._hashes.of_tree(self.path, files)

    @property
    def width(self) -> int:
        """Default width."""
        return self.family.width

    @property
    def height(self) -> int:
        """Default height."""
        return self.family.height

    @property
    def steps(self) -> int:
        """Default number of denoising steps."""
        return self.family.default_steps(distilled=self.is_distilled)

    @property
    def guidance_scale(self) -> float:
        """Default guidance scale: 1 (off) for a step-distilled model, what its card advises where it is known."""
        if self.is_distilled:
            return 1.0
        known = self.checkpoint
        return self.family.guidance_scale if known is None or known.advised_guidance is None else known.advised_guidance

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The published checkpoint that it was pulled as; None where that is not known."""
        if not self.repository:
            return None
        rows = self.family.checkpoints.values()
        return next((row for row in rows if row.repository.lower() == self.repository.lower()), None)

    @property
    def embeds_guidance(self) -> bool:
        """Whether the guidance scale is an input of the transformer, not a second pass."""
        return self.family.embeds_guidance

    @property
    def is_baseline(self) -> bool:
        """Whether its stock pipeline draws, for comparison."""
        return self.family.kind == "stock"

    @property
    def true_cfg(self) -> bool:
        """Whether it takes `true_cfg_scale`: guidance by a second pass besides its own."""
        return self.family.true_cfg

    @property
    def jumps(self) -> bool:
        """Whether it is a flow map, which learned where each step leads."""
        return bool(self.family.config.get("flow_map"))

    @property
    def regions(self) -> bool:
        """Whether parts of the picture can have prompts of their own."""
        return self.family.regions

    @property
    def boxes(self) -> bool:
        """Whether a table of boxes places what the prompt names."""
        return self.family.boxes

    @property
    def upsampler(self) -> str:
        """Name of the published model that writes captions from short requests, or '' where there is none."""
        return self.family.upsampler

    @property
    def caches(self) -> tuple[str, ...]:
        """Approximate caches that its transformer can be run with; see `workbench.recipe.approximate`."""
        return self.family.caches

    @property
    def size_multiple(self) -> int:
        """Width and height are multiples of this."""
        return self.family.size_multiple

    @property
    def min_side(self) -> int:
        """Smallest width and height."""
        return self.family.min_side

    @property
    def max_side(self) -> int:
        """Largest width and height."""
        return self.family.max_side

    @property
    def max_pixels(self) -> int:
        """Largest product of width and height."""
        return self.family.max_pixels

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it can do."""
        return self.family.tasks

    @property
    def max_references(self) -> int:
        """Most references of one picture."""
        return self.family.max_references

    def reference_size(self, width: int, height: int, *, alone: bool = False) -> tuple[int, int]:
        """The size at which a reference of this size, alone or among others, is read when it is fitted."""
        family = self.family
        if family.canvas_pixels and alone:
            return on_canvas(width, height, family.canvas_pixels, family.max_side, family.size_multiple)
        if family.reference_sizes:  # the nearest ratio, as `FluxKontextPipeline` chooses
            return min(family.reference_sizes, key=lambda size: (abs(width / height - size[0] / size[1]), *size))
        return fit(width, height, family.reference_pixels, family.size_multiple)

    @property
    def reference_pixels(self) -> int:
        """Largest area at which a reference that is fitted is read."""
        return self.family.reference_pixels
