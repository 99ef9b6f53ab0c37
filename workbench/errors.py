"""Every failure a user can meet: a stable code, one sentence, and the remedy.

Raised at the edge, where the wrong value enters. The command line prints `str(error)` and exits with 2, a panel shows it
in a banner; a traceback means a bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class WorkbenchError(Exception):
    """Base of all errors that are addressed to the user.

    Args:
        message: one sentence that names the value and what is wrong with it.
        remedy: one sentence that says what to do.
    """

    code = "WB000"

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message, self.remedy = message, remedy
        super().__init__(f"{message} {remedy}".strip())


class RecipeError(WorkbenchError):
    """A recipe field is unknown, malformed or out of range."""

    code = "WB101"


class ModelError(WorkbenchError):
    """A model or adapter is unknown, incomplete, unreadable, or not of a family that is supported."""

    code = "WB102"


class GridError(WorkbenchError):
    """A grid cannot be expanded: an empty axis, an absent search text, too many cells."""

    code = "WB103"


class StoreError(WorkbenchError):
    """A file cannot be written or read back: disk full, read-only folder, not one of our pictures."""

    code = "WB104"


class SettingsError(WorkbenchError):
    """A setting is unknown or has a value that cannot be used."""

    code = "WB105"


class InputError(WorkbenchError):
    """A reference, image or mask is missing, damaged, or of a size or kind that cannot be used."""

    code = "WB106"


class CompanionError(ModelError):
    """A recipe needs a further model, such as Redux or a depth estimator, that is not there."""

    code = "WB111"


class ControlError(WorkbenchError):
    """A control picture or control LoRA does not fit the model, or cannot be made here."""

    code = "WB112"


class SchedulerError(WorkbenchError):
    """A schedule of noise levels cannot be made here, as a package is missing."""

    code = "WB140"


class GenerationError(WorkbenchError):
    """The engine could not finish a picture: non-finite latents, out of memory on the last rung."""

    code = "WB201"


class Cancelled(WorkbenchError):
    """The user stopped the work; what was finished is kept."""

    code = "WB202"


def nearest(name: str, known: Iterable[str]) -> str:
    """A remedy naming the known name closest to `name`, or all of them when none is close."""
    options = sorted(known)
    close = get_close_matches(name, options, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(options)}."
