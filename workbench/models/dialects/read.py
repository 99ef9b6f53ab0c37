"""From an adapter file of any dialect to the changes of a transformer's own modules, in diffusers' names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from workbench.errors import ModelError
from workbench.models.checkpoint import INTEGERS, read_header
from workbench.models.dialects.changes import Change, Dense, Kronecker, LowRank
from workbench.models.dialects.identify import Identity, identify
from workbench.models.dialects.layout import Architecture, Place
from workbench.models.dialects.names import place_of, split_key

_AGAIN = "Export the adapter again."


@dataclass(frozen=True, slots=True)
class Reading:
    """What one adapter file changes.

    Attributes:
        identity: its dialect, kind and architecture.
        changes: by diffusers module name.
        keys: tensors in the file.
        applied: tensors that went into `changes`.
        unmatched: tensors that name no layer of the transformer.
        metadata: of the file.
    """

    identity: Identity
    changes: Mapping[str, Change]
    keys: int
    applied: int
    unmatched: tuple[str, ...]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the tensors of one spelled module go: modules, their shares of its rows, whether its halves are swapped."""

    modules: tuple[str, ...]
    shares: tuple[int, ...]
    swapped: bool


def read_changes(path: Path, architecture: Architecture | None = None, modules: Iterable[str] | None = None) -> Reading:
    """Read an adapter of any known dialect.

    Args:
        path: a safetensors file.
        architecture: what its keys are read as; default: what the header says.
        modules: names of the linear layers that exist; default: all that `architecture` may have. Keys for others are
            unmatched.

    Raises:
        ModelError: no safetensors file, half a change, matrices that do not belong together, or a DoRA that norms over
            the rows of a fused matrix.
    """
    header = read_header(path)
    for name, entry in header.items():
        if str(entry.get("dtype")) in INTEGERS and len(entry["shape"]) > 1:
            raise ModelError(
                f"The adapter {path.name} is damaged: its tensor {name} holds {entry['dtype']}, no fractions.",
                "Get the file again.",
            )
    tensors, metadata = _load(path)
    identity = identify(header, metadata)
    if architecture is None and identity.architectures:
        architecture = identity.architectures[0]
    changes, used = to_changes(tensors, str(path), architecture, modules, _peft_settings(path, metadata))
    return Reading(identity, changes, len(tensors), len(used), tuple(sorted(set(tensors) - used)), metadata)


def to_changes(
    tensors: Mapping[str, Tensor],
    source: str,
    architecture: Architecture | None,
    modules: Iterable[str] | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[dict[str, Change], set[str]]:
    """The changes that named tensors describe, by diffusers module name, and the names that went into them.

    Args:
        tensors: of any dialect.
        source: where they come from, for error messages.
        architecture: what the names are read as.
        modules: linear layers that exist; default: all that `architecture` may have.
        settings: peft's `lora_alpha`, `alpha_pattern`, `use_rslora`, for tensors without an alpha of their own.

    Raises:
        ModelError: as `read_changes`.
    """
    find = _finder(architecture, modules)
    groups: dict[str, dict[str, Tensor]] = {}
    targets: dict[str, Target] = {}
    used: set[str] = set()
    for name, tensor in tensors.items():
        key, target = split_key(name), find(name)
        if key is not None and target is not None:
            groups.setdefault(key.module, {})[key.part] = tensor.float()
            targets[key.module] = target
            used.add(name)
    changes: dict[str, Change] = {}
    for spelled, parts in groups.items():
        target = targets[spelled]
        placed = _place(source, spelled, _build(source, spelled, target, parts, settings), target)
        if twice := changes.keys() & placed.keys():
            raise ModelError(f"The adapter {source} changes {min(twice)} twice, under two names.", _AGAIN)
        changes |= placed
    return dict(sorted(changes.items())), used


def target_of(name: str, architecture: Architecture | None, modules: Iterable[str]) -> Target | None:
    """The modules that a tensor of this name belongs to, or None."""
    return _finder(architecture, modules)(name)


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as stream:
        return {key: stream.get_tensor(key) for key in stream.keys()}, dict(stream.metadata() or {})  # noqa: SIM118


def _finder(architecture: Architecture | None, modules: Iterable[str] | None) -> Callable[[str], Target | None]:
    """A function from a tensor's name to what it changes."""
    existing = None if modules is None else set(modules)
    flat = {name.replace(".", "_"): name for name in existing or ()}

    def find(name: str) -> Target | None:
        key = split_key(name)
        if key is None:
            return None
        # The transformer's own spelling needs no table: any layer can be changed.
        own = key.module if existing and key.module in existing else flat.get(key.module)
        if own is not None:
            return Target((own,), (1,), False)
        place = None if architecture is None else place_of(key, architecture)
        if place is None or architecture is None:
            return None
        target = _target(place, xlabs=key.dialect == "xlabs", diffusers=_is_diffusers(key.module, architecture))
        return target if existing is None or existing.issuperset(target.modules) else None

    return find


def _is_diffusers(module: str, architecture: Architecture) -> bool:
    return (architecture.find(module) or architecture.find_flat(module)) is not None


def _target(place: Place, *, xlabs: bool, diffusers: bool) -> Target:
    modules, shares = place.diffusers(), place.layer.shares
    if xlabs and len(modules) == 4:  # x-flux leaves the feed-forward rows of a single block's fused matrix out
        modules, shares = modules[:3], shares[:3]
    if len(modules) == 1:
        shares = (1,)
    return Target(modules, shares, place.layer.swapped and not diffusers)


def _build(
    source: str, spelled: str, target: Target, parts: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> Change:
    kinds = {part.partition("_")[0] for part in parts} - {"alpha", "magnitude"}
    if {"down", "up"} & kinds:
        return _low_rank(source, spelled, target, parts, settings)
    alpha = float(parts["alpha"]) if "alpha" in parts else None
    if "lokr" in kinds:
        first, second = (_factor(source, spelled, parts, f"lokr_w{number}") for number in (1, 2))
        return Kronecker(first, second, _kronecker_scale(first, second, alpha, settings))
    if "hada" in kinds:
        left, right = (_factor(source, spelled, parts, f"hada_w{number}") for number in (1, 2))
        scale = 1.0 if alpha is None else alpha / left[1].shape[0]
        return Dense(scale * (left[0] @ left[1]) * (right[0] @ right[1]))
    if "diff" in kinds:
        return Dense(parts["diff"])
    raise _half(source, spelled)


def _kronecker_scale(
    first: tuple[Tensor, ...], second: tuple[Tensor, ...], alpha: float | None, settings: Mapping[str, Any]
) -> float:
    """LyCORIS scales only where a factor is itself low rank; peft scales always, and says so in its settings."""
    if alpha is None:
        common = settings.get("lora_alpha", settings.get("alpha"))
        return float(common) / float(settings["r"]) if common is not None and settings.get("r") else 1.0
    ranks = [factor[1].shape[0] for factor in (second, first) if len(factor) == 2]
    return alpha / ranks[0] if ranks else 1.0


def _low_rank(
    source: str, spelled: str, target: Target, parts: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> LowRank:
    if "down" not in parts or "up" not in parts:
        raise _half(source, spelled)
    down, up = parts["down"], parts["up"]
    if not (down.ndim == up.ndim == 2 and down.shape[0] == up.shape[1]):
        raise ModelError(
            f"The two matrices for {spelled} in {source} do not belong together: {tuple(up.shape)} x {tuple(down.shape)}.",
            _AGAIN,
        )
    rank = int(down.shape[0])
    alpha = float(parts["alpha"]) if "alpha" in parts else _alpha(target.modules[0], rank, settings)
    scale = alpha / math.sqrt(rank) if settings.get("use_rslora") and "alpha" not in parts else alpha / rank
    magnitude = parts.get("magnitude")
    if magnitude is not None:
        magnitude = magnitude.reshape(-1, 1) if magnitude.ndim == 1 else magnitude
        if magnitude.shape not in ((up.shape[0], 1), (1, down.shape[1])):
            raise ModelError(
                f"The DoRA magnitude for {spelled} in {source} has shape {tuple(magnitude.shape)}.", _AGAIN
            )
        if len(target.modules) > 1 and magnitude.shape[0] == 1:
            raise ModelError(
                f"The DoRA {source} norms over the rows of the fused layer {spelled}, which the model keeps in parts.",
                "Merge it into the model with the tool that made it.",
            )
    return LowRank(down, up, scale, magnitude)


def _factor(source: str, spelled: str, parts: Mapping[str, Tensor], name: str) -> tuple[Tensor, ...]:
    if name in parts:
        return (parts[name],)
    pair = tuple(parts[each] for each in (f"{name}_a", f"{name}_b") if each in parts)
    if len(pair) != 2 or pair[0].shape[1] != pair[1].shape[0]:
        raise _half(source, spelled)
    return pair


def _place(source: str, spelled: str, change: Change, target: Target) -> dict[str, Change]:
    """The change of each module, cut from the rows of a fused one."""
    if target.swapped:
        change = change.swapped()
    if len(target.modules) == 1:
        return {target.modules[0]: change}
    total = change.shape[0]
    if total % sum(target.shares):
        raise ModelError(
            f"The change of {spelled} in {source} has {total} rows, which do not part into {len(target.modules)} layers.",
            "Use an adapter trained on this model.",
        )
    unit, start, found = total // sum(target.shares), 0, {}
    for module, share in zip(target.modules, target.shares, strict=True):
        found[module] = change.rows(start, start + share * unit)
        start += share * unit
    return found


def _alpha(module: str, rank: int, settings: Mapping[str, Any]) -> float:
    """Peft's rule: the first pattern that ends the module's name, else the common alpha, else the rank."""
    for pattern, alpha in (settings.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return float(alpha)
    alpha = settings.get("lora_alpha")
    return float(rank if alpha is None else alpha)


def _peft_settings(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The peft settings that diffusers keeps with a transformer's adapter, without their prefix."""
    try:
        settings = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ModelError(f"The metadata of the adapter {path} is not JSON.", _AGAIN)
    prefix = "transformer."
    return {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}


def _half(source: str, spelled: str) -> ModelError:
    return ModelError(f"The adapter {source} has only half of its change of {spelled}.", _AGAIN)
