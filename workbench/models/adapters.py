"""LoRA adapters merged into the weights, always from a pristine copy.

W = W0 + sum of weight * (alpha / rank) * B A. Merging costs nothing per step and needs no other graph; starting from W0
every time means that removing all adapters restores the very bits, however often they were swapped (adding and
subtracting in bfloat16 drifts: about a quarter of the weights differ after ten rounds).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.models.checkpoint import read_header


@dataclass(frozen=True, slots=True)
class LowRank:
    """The change of one linear layer: scale * B A."""

    down: Tensor  # A: (rank, in_features)
    up: Tensor  # B: (out_features, rank)
    scale: float  # alpha / rank


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """One adapter to apply."""

    path: Path
    fingerprint: str  # SHA-256 of the file: a file that is replaced under its name is another adapter
    weight: float


class AdapterMerger:
    """Holds the adapters of one transformer.

    Args:
        transformer: the module whose linear layers are changed in place.
        prefixes: what adapter files put before the transformer's module names.
    """

    def __init__(self, transformer: nn.Module, prefixes: Sequence[str]) -> None:
        self._layers = {name: part for name, part in transformer.named_modules() if isinstance(part, nn.Linear)}
        self._prefixes = tuple(prefixes)
        self._pristine: dict[str, Tensor] = {}
        self._totals: dict[str, Tensor] = {}  # float32 sums, alive only inside `apply`
        self._applied: tuple[AdapterFile, ...] = ()

    def apply(self, adapters: Sequence[AdapterFile]) -> None:
        """Make `adapters` the ones that act, in place of those before.

        Raises:
            ModelError: a file does not fit the transformer; the base weights are then restored.
        """
        wanted = tuple(adapters)
        if wanted == self._applied:
            return
        self._restore()
        changes = [(read_adapter(file.path, self._layers, self._prefixes), file.weight) for file in wanted]
        for layers, weight in changes:
            for name, change in layers.items():
                self._add(name, change, weight)
        with torch.no_grad():
            for name, total in self._totals.items():
                self._layers[name].weight.copy_(total)
        self._totals.clear()
        self._applied = wanted

    def _add(self, name: str, change: LowRank, weight: float) -> None:
        parameter = self._layers[name].weight
        base = self._pristine.setdefault(name, parameter.detach().clone())
        with torch.no_grad():
            # The sum is kept in float32 until all adapters are in, so that several do not round one after another.
            total = self._totals.setdefault(name, base.to(torch.float32, copy=True))
            total += weight * change.scale * (change.up.to(base.device) @ change.down.to(base.device))

    def _restore(self) -> None:
        with torch.no_grad():
            for name, base in self._pristine.items():
                self._layers[name].weight.copy_(base)
        self._pristine.clear()
        self._totals.clear()
        self._applied = ()


def read_adapter(path: Path, layers: dict[str, nn.Linear], prefixes: Sequence[str]) -> dict[str, LowRank]:
    """The low-rank changes in a safetensors file with diffusers/peft names.

    Names are `<prefix><module>.lora_A.weight` (rank, in) and `.lora_B.weight` (out, rank), optionally `<module>.alpha`;
    without it alpha is taken from the metadata that diffusers writes (`lora_adapter_metadata`), else it is the rank.

    Raises:
        ModelError: no layer matches, some keys match nothing, shapes differ, or DoRA vectors are present.
    """
    from safetensors import safe_open

    read_header(path)
    with safe_open(path, framework="pt") as stream:
        metadata = _metadata(path, stream.metadata() or {}, prefixes)
        tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 (no mapping)
    found: dict[str, dict[str, Tensor]] = {}
    unmatched = []
    for key, tensor in tensors.items():
        module, part = _split(key, prefixes)
        if module in layers and part:
            found.setdefault(module, {})[part] = tensor.float()
        else:
            unmatched.append(key)
    if unmatched or not found:
        raise _mismatch(path, len(tensors), unmatched)
    return {name: _low_rank(path, name, parts, layers[name], metadata) for name, parts in sorted(found.items())}


def _split(key: str, prefixes: Sequence[str]) -> tuple[str, str]:
    """Module name and part ('down', 'up', 'alpha') of a key, or ('', '')."""
    for prefix in prefixes:
        if key.startswith(prefix):
            for end, part in ((".lora_A.weight", "down"), (".lora_B.weight", "up"), (".alpha", "alpha")):
                if key.endswith(end):
                    return key.removeprefix(prefix).removesuffix(end), part
    return "", ""


def _low_rank(path: Path, name: str, parts: dict[str, Tensor], layer: nn.Linear, metadata: dict[str, Any]) -> LowRank:
    if "down" not in parts or "up" not in parts:
        raise ModelError(f"The adapter {path} has only half of its change of {name}.", "Export the adapter again.")
    down, up = parts["down"], parts["up"]
    fits = down.ndim == up.ndim == 2 and down.shape[0] == up.shape[1]
    if not fits or (up.shape[0], down.shape[1]) != (layer.out_features, layer.in_features):
        raise ModelError(
            f"The adapter {path} changes {name} by {tuple(up.shape)} x {tuple(down.shape)}, but that layer is "
            f"{layer.out_features} x {layer.in_features}.",
            "Use an adapter trained on this model.",
        )
    rank = down.shape[0]
    alpha = float(parts["alpha"]) if "alpha" in parts else _alpha(name, rank, metadata)
    return LowRank(down, up, alpha / math.sqrt(rank) if metadata.get("use_rslora") else alpha / rank)


def _alpha(name: str, rank: int, metadata: dict[str, Any]) -> float:
    """Peft's rule: the first pattern that ends the module's name, else the common alpha, else the rank."""
    for pattern, alpha in (metadata.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return float(alpha)
    return float(metadata.get("lora_alpha", rank))


def _metadata(path: Path, metadata: dict[str, str], prefixes: Sequence[str]) -> dict[str, Any]:
    """The peft settings that diffusers keeps with an adapter, without their prefix."""
    try:
        settings = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        raise ModelError(f"The metadata of the adapter {path} is not JSON.", "Export the adapter again.") from None
    own = {
        key.removeprefix(prefix): value
        for key, value in settings.items()
        for prefix in prefixes
        if key.startswith(prefix)
    }
    if own.get("use_dora"):
        raise ModelError(f"The adapter {path} is a DoRA, which is not supported.", "Use a LoRA.")
    return own


def _mismatch(path: Path, total: int, unmatched: list[str]) -> ModelError:
    shown = ", ".join(sorted(unmatched)[:5]) + (", ..." if len(unmatched) > 5 else "")
    matched = total - len(unmatched)
    return ModelError(
        f"The adapter {path} does not fit the model: {matched} of {total} keys match"
        + (f"; not matched: {shown}." if unmatched else "."),
        "Use an adapter trained on this model, with diffusers names (transformer.<module>.lora_A.weight).",
    )
