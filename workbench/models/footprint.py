"""What a model's weights will take in memory, from its headers alone, before anything is loaded."""

from __future__ import annotations

import re

from workbench.models.checkpoint import component_weights
from workbench.models.family import BITS, BYTES
from workbench.models.identify import Header, read
from workbench.models.identify.header import TensorEntry
from workbench.models.identify.parts import in_blocks
from workbench.models.identify.precision import is_helper, numbers
from workbench.models.model import Model
from workbench.recipe import Precision, Quantisation
from workbench.recipe.known import packed_in

__all__ = ["BYTES", "component_bytes", "model_bytes", "weighty"]

_LAYER = re.compile(r"(?:^|\.)(?:layers|blk)\.(\d+)\.")
# Text encoders that are loaded as their trunk, cut after the last layer that is read.
_TRUNKS = ("Qwen3ForCausalLM", "Mistral3ForConditionalGeneration", "Qwen3VLForConditionalGeneration")
_NOT_READ = ("lm_head", "language_model.lm_head", "vision_tower", "multi_modal_projector", "visual")


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
        quantisation: of the blocks of the transformer, and of the text encoders where it says so.

    Raises:
        ModelError: a header that cannot be believed.
    """
    total = 0.0
    for path in component_weights(model.path / name):
        header = read(path)
        kept = {tensor: entry for tensor, entry in header.tensors.items() if _loaded(tensor, model, name)}
        if _packed(header):  # what a file keeps in fewer bits stays so
            total += numbers(Header(header.format, kept)).bytes
            continue
        for tensor, entry in kept.items():
            if not is_helper(tensor):
                total += entry.elements * _width(tensor, entry, name, precision, quantisation)
    return int(total)


def model_bytes(model: Model, precision: Precision, quantisation: Quantisation | None = None) -> dict[str, int]:
    """Bytes of every component with weights."""
    return {name: component_bytes(model, name, precision, quantisation) for name in weighty(model)}


def _packed(header: Header) -> bool:
    what = numbers(header)
    return bool(what.method) or "float8" in what.precision


def _loaded(tensor: str, model: Model, name: str) -> bool:
    """Whether a tensor is loaded at all: of language models only the trunk is, cut after the last layer that is read."""
    if model.family.components[name] not in _TRUNKS:
        return True
    if tensor.removeprefix("model.").startswith(_NOT_READ):
        return False
    layer = _LAYER.search(tensor)
    return layer is None or int(layer[1]) < max(model.family.text_layers)


def _width(
    tensor: str, entry: TensorEntry, name: str, precision: Precision, quantisation: Quantisation | None
) -> float:
    """Bytes of one value."""
    method = packed_in(quantisation, name)
    if method and len(entry.shape) == 2 and in_blocks(tensor):
        return BITS[method] / 8
    return BYTES[precision]
