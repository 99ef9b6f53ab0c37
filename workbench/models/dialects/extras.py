"""What control LoRAs bring besides matrices: biases of linear layers, scales of norms, and a wider input layer.

The LoRA files of FLUX.1 Canny and Depth double the channels of a picture token, so that the control picture fits beside
the latents; their biases are added, and their norms replace those of the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from workbench.models.checkpoint import read_header
from workbench.models.dialects.changes import Change, LowRank
from workbench.models.dialects.layout import Architecture
from workbench.models.dialects.read import target_of

_BIASES = (".lora_B.bias", ".lora_B.default.bias", ".lora_up.bias")
_INPUTS = re.compile(r"(^|[._])(x_embedder|img_in)\.lora_(A|A\.default|down)\.weight$")
_NORMS = {
    r"double_blocks\.(\d+)\.img_attn\.norm\.query_norm\.scale": r"transformer_blocks.\1.attn.norm_q",
    r"double_blocks\.(\d+)\.img_attn\.norm\.key_norm\.scale": r"transformer_blocks.\1.attn.norm_k",
    r"double_blocks\.(\d+)\.txt_attn\.norm\.query_norm\.scale": r"transformer_blocks.\1.attn.norm_added_q",
    r"double_blocks\.(\d+)\.txt_attn\.norm\.key_norm\.scale": r"transformer_blocks.\1.attn.norm_added_k",
    r"single_blocks\.(\d+)\.norm\.query_norm\.scale": r"single_transformer_blocks.\1.attn.norm_q",
    r"single_blocks\.(\d+)\.norm\.key_norm\.scale": r"single_transformer_blocks.\1.attn.norm_k",
    r"((?:single_)?transformer_blocks\.\d+\.attn\.norm_(?:added_)?[qk])\.weight": r"\1",
}
_PREFIX = re.compile(r"^(base_model\.model\.|diffusion_model\.|transformer\.)")


@dataclass(frozen=True, slots=True)
class Extras:
    """Tensors of an adapter that change no matrix."""

    biases: Mapping[str, Tensor]  # by linear module: what is added to its bias at strength 1, float32 (out,)
    norms: Mapping[str, Tensor]  # by norm module: what takes the place of its scale, float32
    used: frozenset[str]  # names of the tensors


def read_extras(
    path: Path,
    names: Iterable[str],
    architecture: Architecture | None,
    modules: Iterable[str],
    changes: Mapping[str, Change],
) -> Extras:
    """Read them from an adapter file.

    Args:
        path: a safetensors file that was read already.
        names: of the tensors that no matrix was made of.
        architecture: what the names are read as.
        modules: linear layers of the transformer.
        changes: of the file's matrices, whose scale a bias shares.
    """
    from safetensors import safe_open

    existing, biases, norms, used = set(modules), {}, {}, set()
    with safe_open(path, framework="pt") as stream:
        for name in names:
            if (norm := _norm(name)) is not None:
                norms[norm] = stream.get_tensor(name).float()
                used.add(name)
                continue
            ending = next((each for each in _BIASES if name.endswith(each)), None)
            target = target_of(name.removesuffix("bias") + "weight", architecture, existing) if ending else None
            if target is None:
                continue
            bias = stream.get_tensor(name).float()
            if target.swapped:
                bias = bias.roll(len(bias) // 2)
            unit, start = len(bias) // sum(target.shares), 0
            for module, share in zip(target.modules, target.shares, strict=True):
                change = changes.get(module)
                scale = change.scale if isinstance(change, LowRank) else 1.0
                biases[module] = scale * bias[start : start + share * unit]
                start += share * unit
            used.add(name)
    return Extras(biases, norms, frozenset(used))


def input_width(path: Path) -> int:
    """Channels of a picture token that the adapter's matrices for the input layer read; 0 when it has none."""
    header = read_header(path)
    return max((int(entry["shape"][1]) for name, entry in header.items() if _INPUTS.search(name)), default=0)


def _norm(name: str) -> str | None:
    bare = _PREFIX.sub("", name)
    for pattern, module in _NORMS.items():
        match = re.fullmatch(pattern, bare)
        if match:
            return match.expand(module)
    return None
