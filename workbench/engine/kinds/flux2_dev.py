"""FLUX.2 [dev]: a Mistral Small trunk read at three depths, and a guidance scale that the transformer takes as an input.

Equal to `Flux2Pipeline` of diffusers; pictures, positions and schedule are those of [klein].
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from workbench.engine.kinds import flux2
from workbench.engine.kinds.base import Call, Tokens
from workbench.engine.kinds.klein import Klein
from workbench.models.loading import Components


class Dev(Klein):
    """See the module; text features are stacked as [klein]'s."""

    def tokenize(self, parts: Components, prompt: str, length: int) -> Tokens:
        """The prompt after the system message of the family, in the chat template, padded to `length`."""
        template = parts.tokenizer.apply_chat_template
        told = _conversation(prompt)
        whole = len(template(told, add_generation_prompt=False, tokenize=True, return_dict=True)["input_ids"])
        read = template(
            [told],
            add_generation_prompt=False,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            padding="max_length",
            truncation=True,
            max_length=length,
        )
        return Tokens(read["input_ids"], read["attention_mask"], whole)

    def velocity(self, parts: Components, call: Call) -> Tensor:
        """One pass with the guidance scale as an input."""
        return flux2.velocity(parts, call, guidance=call.guidance)


def _conversation(prompt: str) -> list[dict[str, Any]]:
    """What the text encoder is told. The mark of a picture is taken out, as in `format_input` of the pipeline."""
    from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

    words = {"system": SYSTEM_MESSAGE, "user": prompt.replace("[IMG]", "")}
    return [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in words.items()]
