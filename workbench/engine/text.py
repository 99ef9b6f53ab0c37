"""Prompts to features, each prompt once.

What a prompt becomes is the architecture's own (`workbench.engine.kinds`), and equal bit for bit to its diffusers
pipeline. Prompts are encoded one at a time, so that features do not depend on which prompts were encoded with them.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import torch
import transformers

from workbench.engine.cache import TensorFolder
from workbench.engine.kinds import Text, Tokens, kind_of
from workbench.errors import GenerationError
from workbench.models.loading import Components
from workbench.recipe.known import packed_in


def tokenize(parts: Components, prompt: str, length: int) -> Tokens:
    """The prompt as the model's text encoders read it.

    Args:
        parts: the model.
        prompt: any text.
        length: tokens read, padding included.
    """
    return kind_of(parts).tokenize(parts, prompt, length)


def truncation_warning(tokens: Tokens, what: str = "prompt") -> str:
    """A sentence about text that is not read, or '' when all is."""
    if not tokens.lost:
        return ""
    length = tokens.ids.shape[1]
    return (
        f"The {what} is too long: the last {tokens.lost} of its {tokens.total} tokens were not read. "
        f"Shorten it or raise max_sequence_length (now {length})."
    )


def encode(parts: Components, tokens: Tokens) -> Text:
    """Features of one prompt at the model's precision, on the model's device."""
    return kind_of(parts).encode(parts, tokens)


class TextCache:
    """Features by the content of all that decides them: text encoders, tokenizers, layers, precision, length, prompt.

    Args:
        limit: bytes kept in memory; the least recently used go first.
        folder: also keep them here, as safetensors; None: memory only.
    """

    def __init__(self, limit: int = 512 * 2**20, folder: Path | None = None) -> None:
        self._limit, self._disk = limit, TensorFolder(folder)
        self._kept: OrderedDict[str, tuple[Text, str]] = OrderedDict()
        self._bytes = 0
        self.encoded = 0  # prompts that had to be encoded
        self.found = 0  # prompts that were there already

    def get(self, parts: Components, prompt: str, length: int, what: str = "prompt") -> tuple[Text, str]:
        """Features (1, L, D) of `prompt`, and a warning when a part of it is not read.

        Raises:
            GenerationError: the text encoder gave numbers that are not finite; nothing is kept.
        """
        key = _key(parts, prompt, length)
        if key in self._kept:
            self._kept.move_to_end(key)
            self.found += 1
            text, warning = self._kept[key]
            return text, warning.replace("prompt", what, 1)
        tokens = tokenize(parts, prompt, length)
        stored = self._disk.read_all(key)
        if stored is None or "embeds" not in stored:
            text = encode(parts, tokens)
            if not bool(torch.isfinite(text.embeds).all()):
                raise GenerationError(
                    f"The text encoder of {parts.model.name} gave numbers that are not finite.",
                    "Its files may be damaged: get them again; or use float32 precision.",
                )
            self.encoded += 1
            values = {"embeds": text.embeds, "pooled": text.pooled}
            self._disk.write_all(key, {name: value for name, value in values.items() if value is not None})
        else:
            text = Text(stored["embeds"], stored.get("pooled")).to(parts.device)
            self.found += 1
        self._keep(key, text, truncation_warning(tokens))
        return text, truncation_warning(tokens, what)

    def clear(self) -> None:
        """Forget what is in memory."""
        self._kept.clear()
        self._bytes = 0

    def _keep(self, key: str, text: Text, warning: str) -> None:
        self._kept[key] = (text, warning)
        self._bytes += text.nbytes
        while self._bytes > self._limit and len(self._kept) > 1:
            _, (oldest, _) = self._kept.popitem(last=False)
            self._bytes -= oldest.nbytes


def _key(parts: Components, prompt: str, length: int) -> str:
    """The device kind and library versions are in it because they may change the last bits."""
    facts: tuple[object, ...] = (
        parts.model.component_fingerprint(*parts.model.family.text_components), parts.model.family.text_layers,
        parts.precision, parts.text_device.type, length, torch.__version__, transformers.__version__, prompt,
    )  # fmt: skip
    if packed := packed_in(parts.quantisation, "text_encoder"):
        facts = (*facts, packed)
    return hashlib.sha256(repr(facts).encode()).hexdigest()
