"""What training needs to know of an architecture: which layers take an adapter, and how the transformer is called.

One row per architecture. Everything that inference needs as well (text layers, lengths, sizes) is read from
`workbench.models.families`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from finetune.batch import Batch, Grid
from workbench.engine.latents import picture_ids, text_ids

Velocity = Callable[[Any, Tensor, Tensor, Batch, float], Tensor]


@dataclass(frozen=True, slots=True)
class TrainFamily:
    """One row. Patterns are matched against whole module names of the transformer (`re.fullmatch`)."""

    name: str
    title: str
    pipelines: tuple[str, ...]  # classes that a model folder's index may name
    blocks: str  # every linear layer inside the blocks: what all hosts can load
    attention: str
    mlp: str
    references: int  # most reference pictures of an example
    velocity: Velocity
    remedy: str  # what to train instead of a distilled checkpoint
    trains_distilled: bool = True  # whether a distilled checkpoint can be trained on this loss at all
    reference_blocks: str = ""  # further layers that only an example with references reaches

    def pattern(self, targets: str, *, references: bool = False) -> str:
        """The regular expression that a configuration's `targets` stands for."""
        named = {"blocks": self.blocks, "attention": self.attention, "mlp": self.mlp}
        pattern = named.get(targets, targets)
        return (
            f"{pattern}|{self.reference_blocks}"
            if references and targets == "blocks" and self.reference_blocks
            else pattern
        )


@lru_cache(maxsize=256)
def _flux1_ids(grid: Grid, references: tuple[Grid, ...], device: torch.device) -> Tensor:
    """(number, row, column) of the picture's tokens and of its references', which are number 1: float32 (N, 3)."""
    parts = []
    for number, (rows, columns) in enumerate([grid, *references]):
        ids = picture_ids(rows, columns)[:, :3].clone()  # (n, 3), first axis zero
        ids[:, 0] = min(number, 1)
        parts.append(ids)
    return torch.cat(parts).float().to(device)


@lru_cache(maxsize=256)
def _flux2_ids(grid: Grid, references: tuple[Grid, ...], device: torch.device) -> Tensor:
    """(time, row, column, 0): references are 10, 20, 30 and 40 in time: int64 (N, 4)."""
    parts = [picture_ids(*grid)]
    for number, (rows, columns) in enumerate(references):
        ids = picture_ids(rows, columns).clone()
        ids[:, 0] = 10 + 10 * number
        parts.append(ids)
    return torch.cat(parts).to(device)


@lru_cache(maxsize=256)
def _flux3_ids(grid: Grid, layer: int, device: torch.device) -> Tensor:
    """(0, row / 2, column / 2, layer), layer -1, -2, ... for references: float32 (N, 4)."""
    ids = picture_ids(*grid).float()
    ids[:, 1:3] *= 0.5
    ids[:, 3] = layer
    return ids.to(device)


@lru_cache(maxsize=64)
def _text_ids(length: int, device: torch.device) -> Tensor:
    return text_ids(length).to(device)


def _guidance(transformer: Any, noisy: Tensor, guidance: float) -> Tensor | None:
    """The embedded guidance (B,), or None for a transformer that has none."""
    if not transformer.config.guidance_embeds:
        return None
    return torch.full((noisy.shape[0],), guidance, device=noisy.device, dtype=torch.float32)


def flux1_velocity(transformer: Any, noisy: Tensor, sigma: Tensor, batch: Batch, guidance: float) -> Tensor:
    """The answer of `FluxTransformer2DModel`, cut to the picture's tokens: (B, N, C).

    Args:
        transformer: the model, bare.
        noisy: noisy tokens (B, N, C) at the transformer's precision.
        sigma: noise levels, float32 (B,), 0 to 1.
        batch: text and references.
        guidance: embedded guidance scale, where the model has one.
    """
    length, device = batch.text.embeds.shape[1], noisy.device
    tokens = torch.cat([noisy, *(each.to(noisy.dtype) for each in batch.references)], dim=1)
    out: Tensor = transformer(
        hidden_states=tokens,
        timestep=sigma,
        guidance=_guidance(transformer, noisy, guidance),
        pooled_projections=batch.text.pooled,
        encoder_hidden_states=batch.text.embeds,
        txt_ids=torch.zeros(length, 3, device=device),
        img_ids=_flux1_ids(batch.grid, batch.reference_grids, device),
        return_dict=False,
    )[0]
    return out[:, : noisy.shape[1]]


def flux2_velocity(transformer: Any, noisy: Tensor, sigma: Tensor, batch: Batch, guidance: float) -> Tensor:
    """The answer of `Flux2Transformer2DModel`, cut to the picture's tokens; arguments as `flux1_velocity`."""
    device = noisy.device
    tokens = torch.cat([noisy, *(each.to(noisy.dtype) for each in batch.references)], dim=1)
    out: Tensor = transformer(
        hidden_states=tokens,
        timestep=sigma,
        guidance=_guidance(transformer, noisy, guidance),
        encoder_hidden_states=batch.text.embeds,
        txt_ids=_text_ids(batch.text.embeds.shape[1], device),
        img_ids=_flux2_ids(batch.grid, batch.reference_grids, device),
        return_dict=False,
    )[0]
    return out[:, : noisy.shape[1]]


def flux3_velocity(transformer: Any, noisy: Tensor, sigma: Tensor, batch: Batch, guidance: float) -> Tensor:  # noqa: ARG001
    """The answer of `Flux3Transformer2DModel`; references go into a stream of their own at timestep 0."""
    device = noisy.device
    references = [each.to(noisy.dtype) for each in batch.references]
    layers = [_flux3_ids(grid, -1 - number, device) for number, grid in enumerate(batch.reference_grids)]
    out: Tensor = transformer(
        hidden_states=noisy,
        timestep=sigma,
        encoder_hidden_states=batch.text.embeds,
        txt_ids=_text_ids(batch.text.embeds.shape[1], device).float(),
        img_ids=_flux3_ids(batch.grid, 0, device),
        image_cond_hidden_states=torch.cat(references, dim=1) if references else None,
        image_cond_ids=torch.cat(layers) if references else None,
        return_dict=False,
    )[0]
    return out


_DOUBLE = r"transformer_blocks\.\d+\."
_SINGLE = r"single_transformer_blocks\.\d+\."
_JOINT = r"attn\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)"

# One pattern each, as `attn.to_out` is a ModuleList in double blocks and a Linear in the single blocks of FLUX.2.
_FLUX2_ATTENTION = rf"{_DOUBLE}{_JOINT}|{_SINGLE}attn\.(to_qkv_mlp_proj|to_out)"
_FLUX2_MLP = rf"{_DOUBLE}ff(_context)?\.linear_(in|out)|{_SINGLE}attn\.(to_qkv_mlp_proj|to_out)"
_FLUX2_BLOCKS = rf"{_FLUX2_ATTENTION}|{_DOUBLE}ff(_context)?\.linear_(in|out)"
_FLUX1_ATTENTION = rf"{_DOUBLE}{_JOINT}|{_SINGLE}attn\.to_[qkv]"
_FLUX1_MLP = rf"{_DOUBLE}ff(_context)?\.net\.(0\.proj|2)|{_SINGLE}proj_(mlp|out)"
_FLUX3_OWN = rf"(mode_blocks\.image\.\d+|txt_mode_blocks\.\d+|{_SINGLE.removesuffix(chr(92) + '.')})\."
_FLUX3_ATTENTION, _FLUX3_MLP = r"attn\.(to_[qkv]|to_out\.0)", r"ff\.linear_(in|out)"

_FLUX1 = TrainFamily(
    name="flux1-dev",
    title="FLUX.1 [dev]",
    pipelines=("FluxPipeline",),
    blocks=f"{_FLUX1_ATTENTION}|{_FLUX1_MLP}",
    attention=_FLUX1_ATTENTION,
    mlp=_FLUX1_MLP,
    references=0,
    velocity=flux1_velocity,
    remedy="Train FLUX.1-dev; FLUX.1-schnell is distilled to a few steps.",
)
_FLUX2 = TrainFamily(
    name="flux2-dev",
    title="FLUX.2 [dev]",
    pipelines=("Flux2Pipeline",),
    blocks=_FLUX2_BLOCKS,
    attention=_FLUX2_ATTENTION,
    mlp=_FLUX2_MLP,
    references=4,
    velocity=flux2_velocity,
    remedy="Train FLUX.2-dev.",
)

_ROWS = (
    _FLUX1,
    replace(
        _FLUX1,
        name="flux1-kontext",
        title="FLUX.1 Kontext [dev]",
        pipelines=("FluxKontextPipeline",),
        references=1,
        remedy="Train FLUX.1-Kontext-dev.",
    ),
    _FLUX2,
    replace(
        _FLUX2,
        name="flux2-klein",
        title="FLUX.2 [klein] base",
        pipelines=("Flux2KleinPipeline",),
        remedy="Train FLUX.2-klein-base-4B or -9B and use the adapter on the distilled model.",
    ),
    TrainFamily(
        name="flux3-klein",
        title="FLUX.3 [klein] base",
        pipelines=("Flux3ModularPipeline", "Flux3DistilledModularPipeline"),
        blocks=f"{_FLUX3_OWN}({_FLUX3_ATTENTION}|{_FLUX3_MLP})",
        attention=_FLUX3_OWN + _FLUX3_ATTENTION,
        mlp=_FLUX3_OWN + _FLUX3_MLP,
        references=4,
        velocity=flux3_velocity,
        remedy="Train flux-3-image-klein-base; the distilled model is a flow map, which this loss does not fit.",
        trains_distilled=False,
        reference_blocks=rf"mode_blocks\.image_cond\.\d+\.({_FLUX3_ATTENTION}|{_FLUX3_MLP})",
    ),
)

TRAIN_FAMILIES: Mapping[str, TrainFamily] = MappingProxyType({row.name: row for row in _ROWS})
"""Every architecture that can be trained, by name."""
