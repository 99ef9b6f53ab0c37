"""FLUX.2 [klein]: a Qwen3 trunk read at three depths, four-axis positions, guidance by a second pass.

Equal to `Flux2KleinPipeline` of diffusers; what other FLUX.2 architectures share with it is in `flux2.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.engine.kinds import flux2
from workbench.engine.kinds.base import Call, Text, Tokens
from workbench.engine.schedule import empirical_mu
from workbench.models.loading import Components


class Klein(flux2.Flux2Pictures):
    """See the module."""

    def tokenize(self, parts: Components, prompt: str, length: int) -> Tokens:
        """The prompt in the chat template with thinking off, padded to `length`."""
        text = parts.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        whole = len(parts.tokenizer(text, verbose=False)["input_ids"])
        read = parts.tokenizer(text, return_tensors="pt", padding="max_length", truncation=True, max_length=length)
        return Tokens(read["input_ids"], read["attention_mask"], whole)

    @torch.no_grad()
    def encode(self, parts: Components, tokens: Tokens) -> Text:
        """Three hidden states side by side: bit-equal to `Flux2KleinPipeline._get_qwen3_prompt_embeds`."""
        device = parts.text_device
        states = parts.text_encoder(
            input_ids=tokens.ids.to(device),
            attention_mask=tokens.mask.to(device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        layers = torch.stack([states[layer] for layer in parts.model.family.text_layers], dim=2)  # (1, L, layers, D)
        return Text(layers.flatten(2).to(parts.device))

    def mu(self, config: dict[str, Any], tokens: int, steps: int) -> float:
        """See `empirical_mu`."""
        return empirical_mu(tokens, steps)

    def velocity(self, parts: Components, call: Call) -> Tensor:
        """One pass without embedded guidance."""
        return flux2.velocity(parts, call, guidance=None)
