"""What a weight file is, told from its header alone: kind, family, variant, precision.

`read` reads the header of a safetensors or GGUF file, `identify` says what it is, `strip` writes a header without data,
small enough for a bug report. No tensor is read, and no file name is believed.
"""

from workbench.models.identify.header import Header, HeaderError, TensorEntry, read
from workbench.models.identify.stripped import expand, strip
from workbench.models.identify.what import Identity, identify

__all__ = ["Header", "HeaderError", "Identity", "TensorEntry", "expand", "identify", "read", "strip"]
