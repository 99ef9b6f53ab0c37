"""FLUX.2 [klein] 9B-KV: references that look at themselves alone, so that their keys and values are computed once.

A checkpoint of this kind was trained so; with its own attention the keys and values of the references depend on nothing
but the references and the weights, and keeping them over the steps is exact. Equal to `Flux2KleinKVPipeline` of
diffusers, which puts the references before the picture. Source of the idea: the model card of FLUX.2-klein-9b-kv.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from workbench.engine.kinds import flux2
from workbench.engine.kinds.base import Call
from workbench.engine.kinds.klein import Klein
from workbench.models.loading import Components

# By the references of a batch, which live as long as its rows: their memory is free when the batch is done.
_KEPT: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


class KleinKV(Klein):
    """See the module."""

    def velocity(self, parts: Components, call: Call) -> Tensor:
        """The first pass of a batch reads the references, later ones only what was kept of them."""
        if call.references is None:
            return flux2.velocity(parts, call, guidance=None)
        _prepare(parts)
        picture, references = flux2.picture_ids_of(call.layout, parts.device)
        kept = _KEPT.get(call.references)
        if kept is None:
            seen, ids = torch.cat([call.references, call.latents], dim=1), torch.cat([references, picture])
            answer: Tensor
            answer, kept = _pass(parts, call, seen, ids, kv_cache_mode="extract", num_ref_tokens=len(references))
            _KEPT[call.references] = kept
            return answer
        later: Tensor = _pass(parts, call, call.latents, picture, kv_cache_mode="cached", kv_cache=kept)[0]
        return later


def _pass(parts: Components, call: Call, seen: Tensor, ids: Tensor, **how: Any) -> Any:
    return parts.transformer(
        hidden_states=seen,
        timestep=call.time.to(seen.dtype) / 1000,
        guidance=None,
        encoder_hidden_states=call.text.embeds,
        txt_ids=flux2.text_ids_of(call.text.lengths, parts.device),
        img_ids=ids,
        return_dict=False,
        **how,
    )


def _prepare(parts: Components) -> None:
    """Give every block the attention that keeps and reads; without references it is the plain one."""
    from diffusers.models.transformers.transformer_flux2 import Flux2KVAttnProcessor, Flux2KVParallelSelfAttnProcessor

    transformer: Any = parts.transformer
    if isinstance(transformer.transformer_blocks[0].attn.processor, Flux2KVAttnProcessor):
        return
    for block in transformer.transformer_blocks:
        block.attn.set_processor(Flux2KVAttnProcessor())
    for block in transformer.single_transformer_blocks:
        block.attn.set_processor(Flux2KVParallelSelfAttnProcessor())
