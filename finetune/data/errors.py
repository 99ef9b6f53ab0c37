"""What can be wrong with training data, as errors addressed to the user."""

from __future__ import annotations

from workbench.errors import WorkbenchError


class DataConfigError(WorkbenchError):
    """A field of the data configuration is unknown, malformed or out of range."""

    code = "WB501"


class DataError(WorkbenchError):
    """A data set cannot be read or must be repaired first: nothing there, a broken metadata file, a pair missing."""

    code = "WB502"


class PictureError(WorkbenchError):
    """A picture of a data set cannot be decoded, or is larger than is safe to decode."""

    code = "WB503"
