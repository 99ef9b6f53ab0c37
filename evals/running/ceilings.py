"""The OCR's own error, measured once for each engine and kept with the run: no contender can be seen to do better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.scoring import Scorer

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken

SMALL = 256  # pixels: pictures below are read like the embedded model's scenes, others like pages


def measure_ceilings(
    scorers: Sequence[Scorer], side: int, home: Path | None, *, cancel: CancelToken | None = None
) -> dict[str, dict[str, Any]]:
    """Scorer name to `sentence` and `means` of the ceiling, for scorers that read by OCR (their attribute `ocr`).

    Args:
        scorers: of the run.
        side: longest side of the run's pictures in pixels; decides which clean pictures are read.
        home: where ceilings are kept; None: they are not measured, as that takes a minute each time.
        cancel: stops between two batches.

    Raises:
        Cancelled: `cancel` was used.
    """
    readers = {scorer.name: ocr for scorer in scorers if (ocr := getattr(scorer, "ocr", None)) is not None}
    if not readers or home is None:
        return {}
    from evals.typography.ceiling import ceiling
    from workbench.errors import Cancelled

    def stop(_done: int, _total: int) -> None:
        if cancel is not None and cancel.cancelled:
            raise Cancelled("The measuring of the OCR was stopped.", "Run it again.")

    kind: Any = "scene" if side < SMALL else "page"
    found: dict[str, dict[str, Any]] = {}
    for name, ocr in readers.items():
        measured = ceiling(ocr, kind, home=home, progress=stop)
        found[name] = {"sentence": measured.sentence(), "means": dict(measured.means) if name == "typography" else {}}
    return found
