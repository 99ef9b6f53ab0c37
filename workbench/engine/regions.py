"""Regional prompts: the texts of all regions side by side, and which places of the picture see which.

In joint attention a text attends to itself, to the places that see it and to references; a place attends
to its texts, to all places and to references. So a region's words act directly on its own places only, while the
picture stays one. Where a family pools its prompt into one vector besides (FLUX.1), it is that of the recipe's own
prompt. Source of the idea: Chen et al. 2024, Training-free Regional Prompting for Diffusion Transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from workbench.engine.kinds.base import Layout, Text
from workbench.errors import InputError
from workbench.models.inputs import Inputs
from workbench.recipe.layout import Region, cells

Places = NDArray[np.bool_]


def places_of(regions: Sequence[Region], rows: int, columns: int, inputs: Inputs) -> Places:
    """Which places each text is for: bool (1 + regions, rows * columns), the base prompt first.

    The base prompt is for the places that no region covers. A place belongs to a mask that is white on half of it.

    Raises:
        InputError: a mask that holds no place.
    """
    own = np.zeros((1 + len(regions), rows, columns), dtype=bool)
    for number, region in enumerate(regions, start=1):
        if region.box is not None:
            top, bottom, left, right = cells(region.box, rows, columns)
            own[number, top:bottom, left:right] = True
        elif region.mask is not None:
            levels = inputs.open(region.mask).resize((columns, rows), Image.Resampling.BOX)
            own[number] = np.asarray(levels) >= 127  # half, as 127.5 is rounded
            if not own[number].any():
                raise InputError(f"The mask of region {number} is white nowhere.", "Paint its region white.")
    own[0] = ~own[1:].any(axis=0)
    return own.reshape(len(own), rows * columns)


def join_texts(texts: Sequence[Text], places: Places) -> Text:
    """The texts that any place sees, side by side: one alone is as it is.

    Args:
        texts: (1, L, D) each; the base prompt first.
        places: as `places_of` gives them.
    """
    seen = [number for number, row in enumerate(places) if row.any()]
    if len(seen) == 1 and places[seen[0]].all():
        return texts[seen[0]]
    own = torch.from_numpy(places[seen])[None].to(texts[0].embeds.device)
    embeds = [texts[number].embeds for number in seen]
    return Text(torch.cat(embeds, dim=1), texts[0].pooled, own, tuple(each.shape[1] for each in embeds))


def attention_mask(seen_by: Tensor, spans: Sequence[int], layout: Layout) -> Tensor:
    """What attends to what, bool (B, 1, S, S), queries by keys, in the order texts, picture, references.

    Args:
        seen_by: bool (B, K, N), which places see each of K texts.
        spans: tokens of each text.
        layout: sizes in tokens.
    """
    batch, texts, places = seen_by.shape
    references = sum(rows * columns for rows, columns in layout.references)
    tokens = torch.tensor(list(spans), device=seen_by.device)
    text = seen_by.repeat_interleave(tokens, dim=1)  # (B, L, N)
    number = torch.arange(texts, device=seen_by.device).repeat_interleave(tokens)
    length = len(number)
    allowed = torch.ones(batch, length + places + references, length + places + references, dtype=torch.bool)
    allowed = allowed.to(seen_by.device)
    allowed[:, :length, :length] = number[:, None] == number[None, :]
    allowed[:, :length, length : length + places] = text
    allowed[:, length : length + places, :length] = text.transpose(1, 2)
    return allowed[:, None]


def regional(regions: Sequence[Region], base: Text, get: Callable[[str], Text], layout: Layout, inputs: Inputs) -> Text:
    """The text of a recipe with regions.

    Args:
        regions: of the recipe.
        base: features of its own prompt.
        get: features of a region's prompt.
        layout: sizes in tokens.
        inputs: where masks are.
    """
    places = places_of(regions, layout.rows, layout.columns, inputs)
    return join_texts([base, *(get(region.prompt) for region in regions)], places)
