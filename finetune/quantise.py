"""A frozen base of fewer bits: less memory, not more speed. Adapters stay float32 whatever the base is.

    int8    torchao, one scale a row: half of bfloat16, close to it in every answer
    nf4     bitsandbytes, 64 weights a scale: a quarter, for what does not fit otherwise

Only linear layers of the blocks are quantised, which hold nearly all weights; embeddings, modulations and the output
layer stay as they are.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from finetune.config import Quant, TrainConfig, TrainConfigError
from finetune.families import TrainFamily

PACKAGES = {"int8": "torchao", "nf4": "bitsandbytes"}


def check_quant(config: TrainConfig) -> None:
    """Refuse a quantised base that cannot be had.

    Raises:
        TrainConfigError: the package is not installed, or the kind of adapter does not go with it.
    """
    if config.quant == "none":
        return
    if config.adapter.kind not in ("lora", "rslora"):
        raise TrainConfigError(
            f"An adapter of kind {config.adapter.kind!r} needs the base's own weights, which quant: {config.quant} rounds.",
            "Use kind lora or rslora, or quant: none.",
        )
    _package(config.quant)


def quantise(transformer: nn.Module, family: TrainFamily, kind: Quant, dtype: torch.dtype) -> None:
    """Quantise the linear layers of the blocks, in place.

    Args:
        transformer: frozen, on its device, without an adapter.
        family: knows the blocks.
        kind: none changes nothing.
        dtype: of the products.

    Raises:
        TrainConfigError: the package is not installed.
    """
    if kind == "none":
        return
    pattern = re.compile(f"{family.blocks}|{family.reference_blocks}" if family.reference_blocks else family.blocks)
    package = _package(kind)
    if kind == "int8":
        package.quantization.quantize_(
            transformer,
            package.quantization.Int8WeightOnlyConfig(),
            filter_fn=lambda layer, name: isinstance(layer, nn.Linear) and pattern.fullmatch(name) is not None,
        )
        return
    found = [(name, layer) for name, layer in transformer.named_modules() if pattern.fullmatch(name)]
    for name, layer in found:
        if isinstance(layer, nn.Linear):
            parent, _, own = name.rpartition(".")
            setattr(transformer.get_submodule(parent), own, _four_bits(package, layer, dtype))
    transformer.is_loaded_in_4bit = True  # type: ignore[assignment]  # what peft looks for


def _four_bits(package: Any, layer: nn.Linear, dtype: torch.dtype) -> nn.Module:
    made: nn.Module = package.nn.Linear4bit(
        layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=dtype, quant_type="nf4",
        device="meta",
    )  # fmt: skip
    made.weight = package.nn.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.data, requires_grad=False)
    return made.to(layer.weight.device)  # which is when the weights are rounded


@contextmanager
def quiet() -> Iterator[None]:
    """Peft warns that an adapter on int8 cannot be merged in place; ours is merged into the model's own weights."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*get_apply_tensor_subclass.*")
        yield


def _package(kind: Quant) -> Any:
    import importlib

    name = PACKAGES[kind]
    try:
        package = importlib.import_module(name)
        if name == "torchao":
            importlib.import_module("torchao.quantization")
    except ImportError:
        raise TrainConfigError(
            f"A base with quant: {kind} needs the package {name}, which is not installed.",
            f"Install it: pip install {name}. Or set quant: none with gradient_checkpointing: all.",
        ) from None
    return package
