"""What became of one job of a group."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from workbench.engine.plan import Job
from workbench.errors import WorkbenchError


@dataclass
class Outcome:
    """What became of one job."""

    job: Job
    picture: Image.Image | None = None
    error: WorkbenchError | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
