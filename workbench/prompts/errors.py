"""What can be wrong with dynamic prompts, wildcard files, lists and templates."""

from __future__ import annotations

from workbench.errors import WorkbenchError


class DynamicPromptError(WorkbenchError):
    """A dynamic prompt, wildcard or prompt list cannot be read, or stands for too many prompts."""

    code = "WB621"


class TemplateError(WorkbenchError):
    """A prompt template is unknown, or a file of templates cannot be read."""

    code = "WB622"
