"""What a model's weights will take in memory, from its headers alone, before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.models.checkpoint import component_weights
from workbench.models.identify import read
from workbench.models.identify.header import TensorEntry
from workbench.models.identify.precision import is_helper, numbers
from workbench.models.model import Model
from workbench.recipe import Precision, Quantisation

BYTES: dict[Precision, int] = {"float32": 4, "bfloat16": 2}
BITS: dict[Quantisation, float] = {"int8": 8, "fp8": 8, "nf4": 4.5}

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def weighty(model: Model) -> tuple[str, ...]:
    """Names of the components that have weights."""
    return tuple(
        name for name in model.family.components if not name.startswith(("tokenizer", "scheduler", "feature_extractor"))
    )


def component_bytes(model: Model, name: str, precision: Precision, quantisation: Quantisation | None = None) -> int:
    """Bytes of one component's weights once loaded.

    Args:
        model: the checkpoint.
        name: its folder.
        precision: of what is not kept in fewer bits.
        quantisation: of the transformer's blocks.

    Raises:
        ModelError: a header that cannot be believed.
    """
    total = 0.0
    for path in component_weights(model.path / name):
        header = read(path)
        packed = _packed(path)
        kept = numbers(header)
        if packed and kept.parameters:
            total += kept.bytes  # a file in fewer bits stays as it is
            continue
        for tensor, entry in header.tensors.items():
            if is_helper(tensor) or not _loaded(tensor, model, name):
                continue
            total += entry.elements * _width(tensor, entry, name, precision, quantisation)
    return int(total)


def model_bytes(model: Model, precision: Precision, quantisation: Quantisation | None = None) -> dict[str, int]:
    """Bytes of every component with weights."""
    return {name: component_bytes(model, name, precision, quantisation) for name in weighty(model)}


def _packed(path: Path) -> bool:
    if path.parent.name != "transformer":
        return False
    what = numbers(read(path))
    return what.method in ("bitsandbytes", "gguf", "scaled", "scaled, some layers") or "float8" in what.precision


def _loaded(tensor: str, model: Model, name: str) -> bool:
    """Whether a tensor is loaded at all: of Qwen3 only the trunk is, cut after the last layer that is read."""
    if model.family.components[name] != "Qwen3ForCausalLM":
        return True
    layer = _LAYER.search(tensor)
    return not tensor.startswith("lm_head") and (layer is None or int(layer[1]) < max(model.family.text_layers))


def _width(
    tensor: str, entry: TensorEntry, name: str, precision: Precision, quantisation: Quantisation | None
) -> float:
    """Bytes of one value."""
    if quantisation and name == "transformer" and "blocks." in tensor and len(entry.shape) == 2:
        return BITS[quantisation] / 8
    return BYTES[precision]
