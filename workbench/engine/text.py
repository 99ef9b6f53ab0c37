"""Prompts to embeddings: the layers that the family reads, each prompt once.

Equal, bit for bit, to `Flux2KleinPipeline._get_qwen3_prompt_embeds` for one prompt: the chat template with thinking off,
padding to the full length, the hidden states of three layers side by side. Prompts are encoded one at a time, so that
an embedding does not depend on which prompts were encoded with it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from torch import Tensor

from workbench.engine.cache import TensorFolder
from workbench.models.loading import Components


@dataclass(frozen=True, slots=True)
class Tokens:
    """One prompt as the text encoder reads it."""

    ids: Tensor  # int64 (1, length), padded
    mask: Tensor  # int64 (1, length), 1 where a token is text
    total: int  # tokens of the whole prompt with its template, before anything is cut

    @property
    def lost(self) -> int:
        """Tokens at the end that are not read."""
        return max(0, self.total - self.ids.shape[1])


def tokenize(parts: Components, prompt: str, length: int) -> Tokens:
    """The prompt in the chat template, as exactly `length` tokens.

    Args:
        parts: the model.
        prompt: any text.
        length: tokens read, padding included.
    """
    text = parts.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    whole = len(parts.tokenizer(text, verbose=False)["input_ids"])
    read = parts.tokenizer(text, return_tensors="pt", padding="max_length", truncation=True, max_length=length)
    return Tokens(read["input_ids"], read["attention_mask"], whole)


def truncation_warning(tokens: Tokens, what: str = "prompt") -> str:
    """A sentence about text that is not read, or '' when all is."""
    if not tokens.lost:
        return ""
    length = tokens.ids.shape[1]
    return (
        f"The {what} is too long: the last {tokens.lost} of its {tokens.total} tokens were not read. "
        f"Shorten it or raise max_sequence_length (now {length})."
    )


@torch.no_grad()
def encode(parts: Components, tokens: Tokens) -> Tensor:
    """Embeddings of one prompt.

    Returns:
        (1, length, layers * text width) at the model's precision, on the model's device.
    """
    device = parts.text_device
    states = parts.text_encoder(
        input_ids=tokens.ids.to(device),
        attention_mask=tokens.mask.to(device),
        output_hidden_states=True,
        use_cache=False,
    ).hidden_states
    layers = torch.stack([states[layer] for layer in parts.model.family.text_layers], dim=2)  # (1, length, layers, D)
    return layers.flatten(2).to(parts.device)


class TextCache:
    """Embeddings by the content of all that decides them: text encoder, tokenizer, layers, precision, length, prompt.

    Args:
        limit: bytes kept in memory; the least recently used go first.
        folder: also keep them here, as safetensors; None: memory only.
    """

    def __init__(self, limit: int = 512 * 2**20, folder: Path | None = None) -> None:
        self._limit, self._disk = limit, TensorFolder(folder)
        self._kept: OrderedDict[str, tuple[Tensor, str]] = OrderedDict()
        self._bytes = 0
        self.encoded = 0  # prompts that had to be encoded
        self.found = 0  # prompts that were there already

    def get(self, parts: Components, prompt: str, length: int, what: str = "prompt") -> tuple[Tensor, str]:
        """Embeddings (1, length, D) of `prompt`, and a warning when a part of it is not read."""
        key = _key(parts, prompt, length)
        if key in self._kept:
            self._kept.move_to_end(key)
            self.found += 1
            embeddings, warning = self._kept[key]
            return embeddings, warning.replace("prompt", what, 1)
        tokens = tokenize(parts, prompt, length)
        stored = self._disk.read(key)
        if stored is None:
            embeddings = encode(parts, tokens)
            self.encoded += 1
            self._disk.write(key, embeddings)
        else:
            embeddings = stored.to(parts.device)
            self.found += 1
        self._keep(key, embeddings, truncation_warning(tokens))
        return embeddings, truncation_warning(tokens, what)

    def clear(self) -> None:
        """Forget what is in memory."""
        self._kept.clear()
        self._bytes = 0

    def _keep(self, key: str, embeddings: Tensor, warning: str) -> None:
        self._kept[key] = (embeddings, warning)
        self._bytes += embeddings.nbytes
        while self._bytes > self._limit and len(self._kept) > 1:
            _, (oldest, _) = self._kept.popitem(last=False)
            self._bytes -= oldest.nbytes


def _key(parts: Components, prompt: str, length: int) -> str:
    """The device kind and library versions are in it because they may change the last bits."""
    facts = (
        parts.model.component_fingerprint("text_encoder", "tokenizer"), parts.model.family.text_layers,
        parts.precision, parts.text_device.type, length, torch.__version__, transformers.__version__, prompt,
    )  # fmt: skip
    return hashlib.sha256(repr(facts).encode()).hexdigest()
