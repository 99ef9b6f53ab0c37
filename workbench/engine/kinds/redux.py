"""Redux: pictures read by SigLIP, turned into words of T5's kind, appended to the prompt and mixed by weight.

Equal to `FluxPriorReduxPipeline` of diffusers with its text encoders loaded, where a picture's weight is both of its
scales.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from workbench.engine.kinds.base import Pictures, Text
from workbench.models.loading import Components
from workbench.recipe.controls import REDUX, Variation


def mix(parts: Components, variations: Sequence[Variation], text: Text, pictures: Pictures) -> Text:
    """The features of a prompt (1, L, D) with those of the pictures behind them: (1, L + S, D), S words a picture.

    Args:
        parts: the model, with Redux among its further parts.
        variations: resolved, with weights.
        text: of the prompt.
        pictures: keeps what SigLIP made of each picture.
    """
    embeds, pooled = [], []
    assert text.pooled is not None  # FLUX.1 has it
    for variation in variations:
        digest, weight = variation.picture, torch.tensor(variation.weight, dtype=parts.dtype, device=parts.device)
        facts = ("redux", digest, parts.companions[REDUX]["fingerprint"])
        words = pictures.get(parts, facts, lambda digest=digest: pictures.inputs.open(digest), read)  # type: ignore[misc]
        embeds.append(torch.cat([text.embeds, words], dim=1) * weight)
        pooled.append(text.pooled * weight)
    return Text(torch.cat(embeds).sum(dim=0, keepdim=True), torch.cat(pooled).sum(dim=0, keepdim=True))


@torch.no_grad()
def read(parts: Components, picture: Image.Image) -> Tensor:
    """A picture as words: (1, S, D)."""
    redux = parts.companions[REDUX]
    values = redux["feature_extractor"].preprocess(
        images=picture, do_resize=True, return_tensors="pt", do_convert_rgb=True
    )
    seen = redux["image_encoder"](**values.to(device=parts.device, dtype=parts.dtype)).last_hidden_state
    words: Tensor = redux["image_embedder"](seen).image_embeds
    return words
