"""Prompts that stand for many: choices, wildcard files, lists, and templates around what a person types."""

from workbench.prompts.errors import DynamicPromptError, TemplateError
from workbench.prompts.expand import DEFAULT_LIMIT, count, expand
from workbench.prompts.lists import read_prompts
from workbench.prompts.templates import PromptTemplate, Templates
from workbench.prompts.wildcards import Wildcards

__all__ = [
    "DEFAULT_LIMIT",
    "DynamicPromptError",
    "PromptTemplate",
    "TemplateError",
    "Templates",
    "Wildcards",
    "count",
    "expand",
    "read_prompts",
]
