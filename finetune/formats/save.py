"""Write an adapter so that weight 1.0 means the trained strength in every program.

The scale (alpha / rank, or alpha / sqrt(rank)) is folded into B, and where a format has a place for alpha, the rank
stands there: programs that read alpha and programs that ignore it (ComfyUI and InvokeAI do, in diffusers' naming) then
apply the same change.

    diffusers   transformer.<module>.lora_A.weight          read by diffusers, ComfyUI and InvokeAI
    bfl         diffusion_model.<original>.lora_A.weight    queries, keys and values fused as in the original code
    kohya       lora_unet_<original>.lora_down.weight       the same, with dots as underscores and alpha tensors
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from workbench import __version__
from workbench.errors import WorkbenchError, nearest
from workbench.models.dialects.changes import Change, Kronecker, LowRank, stacked
from workbench.models.dialects.layout import ARCHITECTURES, Architecture, Layer
from workbench.models.dialects.names import original_key, split_key
from workbench.models.dialects.read import to_changes
from workbench.store.files import make_folder, write_atomically

SaveFormat = Literal["diffusers", "bfl", "kohya"]
SaveDtype = Literal["bfloat16", "float16", "float32"]
FORMATS: tuple[SaveFormat, ...] = ("diffusers", "bfl", "kohya")


class FormatError(WorkbenchError):
    """An adapter cannot be written in the format that was asked for."""

    code = "WB520"


def save_adapter(
    path: Path | str,
    state: Mapping[str, Tensor],
    *,
    family: str,
    rank: int,
    alpha: float | Mapping[str, float] | None = None,
    targets: str | Sequence[str] = (),
    metadata: Mapping[str, object] | None = None,
    format: SaveFormat = "diffusers",  # noqa: A002
    dtype: SaveDtype = "bfloat16",
    rslora: bool = False,
) -> Path:
    """Write a trained adapter.

    Args:
        path: the .safetensors file; its folder is made.
        state: what peft's `get_peft_model_state_dict` gives: `<module>.lora_A.weight` (rank, in), `.lora_B.weight`
            (out, rank), DoRA's `.lora_magnitude_vector`, or LoKr's `.lokr_w1` and so on; a `transformer.` or
            `base_model.model.` prefix is allowed.
        family: name of a row of `workbench.models.families`, or of an architecture: flux1, flux2, flux3.
        rank: the rank that was trained; modules may have others.
        alpha: the alpha that was trained with, more than 0; or one per module, keys being peft's patterns; None: each
            module's rank, so that the scale is 1.
        targets: what was trained, for the metadata.
        metadata: more metadata, e.g. `ss_learning_rate` or `modelspec.trigger_phrase`; values that are no strings are
            written as JSON.
        format: naming; see the module.
        dtype: precision of the tensors.
        rslora: the scale is alpha / sqrt(rank).

    Returns:
        The path of the file.

    Raises:
        FormatError: alpha is not positive, a tensor belongs to no layer, a value is not finite, or the format cannot
            hold the change.
        StoreError: the file cannot be written.
    """
    architecture = architecture_of_family(family)
    if isinstance(alpha, (int, float)) and not alpha > 0:
        raise FormatError(f"An alpha of {alpha:g} would switch the adapter off.", "Use an alpha above 0.")
    settings: dict[str, Any] = {"use_rslora": rslora, "r": rank}
    if isinstance(alpha, Mapping):
        settings["alpha_pattern"] = dict(alpha)
    else:
        settings["lora_alpha"] = alpha
    modules = {key.module for key in map(split_key, state) if key is not None}
    changes, used = to_changes(state, "the trained adapter", architecture, modules, settings)
    if lost := sorted(set(state) - used):
        raise FormatError(f"The tensor {lost[0]!r} is no part of an adapter.", "Pass peft's adapter state only.")
    extra: dict[str, object] = {"ss_network_args": {"targets": targets if isinstance(targets, str) else list(targets)}}
    trained = {"ss_network_dim": rank, "ss_training_alpha": alpha if alpha is not None else rank}
    return save_changes(
        path, changes, architecture, metadata={**extra, **trained, **(metadata or {})}, format=format, dtype=dtype
    )


def save_changes(
    path: Path | str,
    changes: Mapping[str, Change],
    architecture: Architecture | None,
    *,
    metadata: Mapping[str, object] | None = None,
    format: SaveFormat = "diffusers",  # noqa: A002
    dtype: SaveDtype = "bfloat16",
) -> Path:
    """Write the changes of a transformer's layers, by diffusers module name, as one adapter file.

    Raises:
        FormatError: as `save_adapter`.
        StoreError: the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise FormatError(f"An adapter's file ends with .safetensors, not {path.suffix!r}.", "Rename it.")
    if format not in FORMATS:
        raise FormatError(f"There is no format {format!r}.", nearest(str(format), FORMATS))
    if not changes:
        raise FormatError("The adapter changes no layer.", "Check its targets.")
    tensors = to_tensors(changes, architecture, format)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise FormatError(f"The tensor {name} holds values that are not finite.", "Use an earlier checkpoint.")
    precision: torch.dtype = getattr(torch, dtype)
    # copied: the parts of a layer that was fused share one A, and safetensors refuses shared memory
    stored = {name: tensor.to(precision, copy=True).contiguous() for name, tensor in tensors.items()}
    if dtype != "float32":
        for name, tensor in stored.items():
            if not torch.isfinite(tensor).all():
                raise FormatError(f"The tensor {name} overflows {dtype}.", "Write it as bfloat16 or float32.")
    text = describe(path.stem, changes, architecture, format, metadata or {})
    plain = save(stored)
    # the hash covers the tensors alone, as sd-scripts and ModelSpec have it, so that metadata may be edited
    digest = hashlib.sha256(plain[8 + int.from_bytes(plain[:8], "little") :]).hexdigest()
    text |= {"sshs_model_hash": digest, "modelspec.hash_sha256": f"0x{digest}"}
    make_folder(path.parent)
    write_atomically(path, save(stored, dict(sorted(text.items()))))
    return path


def to_tensors(
    changes: Mapping[str, Change], architecture: Architecture | None, naming: SaveFormat
) -> dict[str, Tensor]:
    """The named float32 tensors of an adapter file.

    Raises:
        FormatError: the format cannot hold a change.
    """
    if naming == "diffusers":
        return {key: value for module, change in changes.items() for key, value in _diffusers(module, change)}
    tensors: dict[str, Tensor] = {}
    for original, change in _to_original(changes, architecture, naming).items():
        down, up = change.down, change.up * change.scale
        tensors[original_key(original, "down", naming)] = down
        tensors[original_key(original, "up", naming)] = up
        if change.magnitude is not None:
            tensors[original_key(original, "dora_scale", naming)] = change.magnitude
        if naming == "kohya":
            tensors[original_key(original, "alpha", naming)] = torch.tensor(float(change.rank))
    return tensors


def architecture_of_family(family: str) -> Architecture:
    """The architecture of a family's transformer, by the family's name.

    Raises:
        FormatError: there is none of that name.
    """
    plain = family.lower().replace(".", "").replace("-", "")
    for name, architecture in ARCHITECTURES.items():
        if plain.startswith(name):
            return architecture
    raise FormatError(f"Adapters of the family {family!r} are not known.", nearest(family, ARCHITECTURES))


def describe(
    title: str,
    changes: Mapping[str, Change],
    architecture: Architecture | None,
    naming: SaveFormat,
    given: Mapping[str, object],
) -> dict[str, str]:
    """The file's metadata: sd-scripts' `ss_*`, ModelSpec 1.0.1, and what diffusers needs to load it."""
    ranks = Counter(change.rank for change in changes.values() if isinstance(change, LowRank))
    rank = ranks.most_common(1)[0][0] if ranks else None
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    name = architecture.name if architecture else "unknown"
    facts: dict[str, object] = {
        "format": "pt",
        "ss_base_model_version": name,
        "ss_output_name": title,
        "ss_network_module": "peft" if naming == "diffusers" else "networks.lora_flux",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{architecture.title if architecture else name}/lora",
        "modelspec.implementation": "diffusers" if naming == "diffusers" else "https://github.com/black-forest-labs",
        "modelspec.title": title,
        "modelspec.date": now,
        "modelspec.prediction_type": "flow",
        "software": {"name": "finetune", "version": __version__},
        **given,
    }
    if rank is not None:
        facts["ss_network_dim"] = rank
        facts["ss_network_alpha"] = rank  # the scale is folded in, whatever was trained with
    if (
        naming == "diffusers"
        and rank is not None
        and len(ranks) >= 1
        and all(isinstance(c, LowRank) for c in changes.values())
    ):
        facts["lora_adapter_metadata"] = _peft_settings(changes, rank)
    return {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in facts.items()}


def _peft_settings(changes: Mapping[str, Change], rank: int) -> dict[str, object]:
    others = {
        name: change.rank for name, change in changes.items() if isinstance(change, LowRank) and change.rank != rank
    }
    dora = any(isinstance(change, LowRank) and change.magnitude is not None for change in changes.values())
    settings = {
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(changes),
        "use_dora": dora,
        "use_rslora": False,
    }
    return {f"transformer.{key}": value for key, value in settings.items()}


def _diffusers(module: str, change: Change) -> list[tuple[str, Tensor]]:
    stem = f"transformer.{module}"
    if isinstance(change, LowRank):
        found = [(f"{stem}.lora_A.weight", change.down), (f"{stem}.lora_B.weight", change.up * change.scale)]
        if change.magnitude is not None:
            if change.magnitude.shape[1] != 1:
                raise FormatError(
                    f"diffusers has no DoRA that norms over the outputs of {module}.", "Use --format kohya."
                )
            found.append((f"{stem}.lora_magnitude_vector", change.magnitude[:, 0]))
        return found
    if isinstance(change, Kronecker):
        return [
            *_factors(f"{stem}.lokr_w1", (change.first[0] * change.scale, *change.first[1:])),
            *_factors(f"{stem}.lokr_w2", change.second),
        ]
    raise FormatError(f"The change of {module} is dense; no LoRA format holds it.", "Resize it to a rank first.")


def _factors(stem: str, factors: tuple[Tensor, ...]) -> list[tuple[str, Tensor]]:
    if len(factors) == 1:
        return [(stem, factors[0])]
    return [(f"{stem}_a", factors[0]), (f"{stem}_b", factors[1])]


def _to_original(
    changes: Mapping[str, Change], architecture: Architecture | None, naming: SaveFormat
) -> dict[str, LowRank]:
    """The changes by the original's module names; those of parts of a fused layer become one."""
    groups: dict[str, dict[int, LowRank]] = {}
    layers: dict[str, Layer] = {}
    for module, change in changes.items():
        place = None if architecture is None else architecture.find(module)
        if place is None or place.part is None:
            raise FormatError(f"The layer {module} has no name in the {naming} format.", "Use --format diffusers.")
        if not isinstance(change, LowRank):
            raise FormatError(
                f"The {naming} format keeps {place.original()} in one piece, which a {type(change).__name__} change of "
                "its parts cannot be.",
                "Use --format diffusers.",
            )
        groups.setdefault(place.original(), {})[place.part] = change.swapped() if place.layer.swapped else change
        layers[place.original()] = place.layer
    return {name: _fuse(name, parts, layers[name], naming) for name, parts in groups.items()}


def _fuse(name: str, parts: Mapping[int, LowRank], layer: Layer, naming: SaveFormat) -> LowRank:
    first = min(parts)
    unit = parts[first].shape[0] // layer.shares[first]
    if len(parts) < len(layer.parts) and any(part.magnitude is not None for part in parts.values()):
        raise FormatError(f"A DoRA of parts of {name} only cannot be written in the {naming} format.", "Use diffusers.")
    whole = []
    for index, share in enumerate(layer.shares):
        # a part that was not trained: rows of zeros, over an A that is there anyway
        rest = LowRank(parts[first].down, torch.zeros(share * unit, parts[first].rank), parts[first].scale)
        whole.append(parts.get(index, rest))
    return stacked(whole) if len(whole) > 1 else whole[0]
