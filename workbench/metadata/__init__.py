"""What pictures say of how they were made, ours and those of other tools, read back as recipes."""

from workbench.metadata.read import recall
from workbench.metadata.result import LeftOut, Recalled, RecallError

__all__ = ["LeftOut", "RecallError", "Recalled", "recall"]
