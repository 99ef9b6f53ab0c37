"""Adapters in the transformer, made by peft: attach, read and set their weights, average them.

Adapter weights are float32 whatever the base is: in bfloat16 a step of 1e-4 is rounded away for most entries, and the
run learns little without saying so. Under a bfloat16 base they are cast for each product, as automatic mixed precision
does, while the optimiser moves the float32 masters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.config import AdapterConfig, TrainConfigError
from finetune.families import TrainFamily

NAME = "default"
PREFIX = "transformer."


class MasterLinear(nn.Linear):
    """A linear layer without bias whose float32 weight is cast to the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.linear(x, self.weight.to(x.dtype))


def matched_layers(transformer: nn.Module, pattern: str) -> dict[str, nn.Linear]:
    """The linear layers whose whole name `pattern` matches, in the model's order."""
    rule = re.compile(pattern)
    return {
        name: layer
        for name, layer in transformer.named_modules()
        if isinstance(layer, nn.Linear) and rule.fullmatch(name)
    }


def check_targets(family: TrainFamily, transformer: nn.Module, config: AdapterConfig, pattern: str) -> None:
    """Refuse targets that cannot be trained, or that no other program could load.

    Raises:
        TrainConfigError: nothing matches, a match lies outside the blocks, a rank that is too large, a pattern of ranks
            that matches nothing.
    """
    layers = matched_layers(transformer, pattern)
    if not layers:
        raise TrainConfigError(
            f"The targets {config.targets!r} match no linear layer of {family.title}.",
            "Use blocks, attention, mlp, or a regular expression for whole module names.",
        )
    portable = re.compile(f"{family.blocks}|{family.reference_blocks}" if family.reference_blocks else family.blocks)
    outside = [name for name in layers if not portable.fullmatch(name)]
    if outside:
        raise TrainConfigError(
            f"The target {outside[0]} is no linear layer of a block; ComfyUI and InvokeAI could not load its adapter.",
            "Use targets inside the blocks.",
        )
    for name, layer in layers.items():
        rank, widest = _rank(config, name), min(layer.in_features, layer.out_features)
        if rank > widest:
            raise TrainConfigError(
                f"Rank {rank} is too large for {name}, which is {layer.out_features} x {layer.in_features}.",
                f"Use a rank of {widest} or less: a higher one cannot express more.",
            )
    for what, patterns in (("rank", config.rank_pattern), ("alpha", config.alpha_pattern)):
        for own in patterns:
            if not any(_ends(own, name) for name in layers):
                raise TrainConfigError(
                    f"The {what} pattern {own!r} matches none of the targets.", "Correct or remove it."
                )


def _rank(config: AdapterConfig, name: str) -> int:
    return next((rank for own, rank in config.rank_pattern.items() if _ends(own, name)), config.rank)


def _ends(pattern: str, name: str) -> bool:
    """Peft's rule: a pattern matches the end of a module's name."""
    return re.match(rf"(.*\.)?({pattern})$", name) is not None


def peft_config(config: AdapterConfig, pattern: str) -> Any:
    """The configuration object of peft."""
    from peft import LoKrConfig, LoraConfig

    if config.kind == "lokr":
        return LoKrConfig(
            r=config.rank, alpha=config.scale_alpha, target_modules=pattern, module_dropout=config.dropout
        )
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.scale_alpha,
        target_modules=pattern,
        lora_dropout=config.dropout,
        use_rslora=config.kind == "rslora",
        use_dora=config.kind == "dora",
        rank_pattern=dict(config.rank_pattern),
        alpha_pattern=config.alphas,
    )


def attach(transformer: nn.Module, config: AdapterConfig, pattern: str, seed: int) -> list[nn.Parameter]:
    """Put a fresh adapter into `transformer`, whose own weights are frozen.

    Args:
        transformer: changed in place.
        config: kind, rank and alpha.
        pattern: regular expression for whole module names.
        seed: of the initial weights. The adapter changes nothing at first.

    Returns:
        The parameters to train, float32, in the model's order.
    """
    from peft import inject_adapter_in_model

    transformer.requires_grad_(requires_grad=False)
    with torch.random.fork_rng():
        torch.manual_seed(seed % 2**63)
        inject_adapter_in_model(peft_config(config, pattern), transformer, adapter_name=NAME)
    layer: Any
    for name, parameter in transformer.named_parameters():
        if _is_adapter(name):
            parameter.data = parameter.data.float()
            parameter.requires_grad = True
    if config.kind in ("lora", "rslora"):
        for layer in transformer.modules():
            if hasattr(layer, "lora_A"):
                layer.lora_A[NAME].__class__ = layer.lora_B[NAME].__class__ = MasterLinear
                layer.cast_input_dtype_enabled = False
        from finetune.lean import make_lean

        make_lean(transformer)
    return [parameter for parameter in transformer.parameters() if parameter.requires_grad]


def read_state(transformer: nn.Module) -> dict[str, Tensor]:
    """The adapter's weights by their names in files, float32 on the CPU, as copies."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(transformer, adapter_name=NAME)
    return {
        PREFIX + key: value.detach().to("cpu", torch.float32, copy=True).contiguous() for key, value in state.items()
    }


def write_state(transformer: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set the adapter's weights to those of `state`.

    Raises:
        KeyError: a name that the adapter does not have, or one that is missing.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    wanted = {PREFIX + key for key in get_peft_model_state_dict(transformer, adapter_name=NAME)}
    if wanted != set(state):
        raise KeyError(f"{len(wanted ^ set(state))} names differ, such as {min(wanted ^ set(state))}")
    set_peft_model_state_dict(
        transformer, {key.removeprefix(PREFIX): value for key, value in state.items()}, adapter_name=NAME
    )


def file_metadata(config: AdapterConfig, pattern: str) -> dict[str, str]:
    """What a file of raw adapter weights must say of them: peft's settings, as diffusers writes them."""
    settings = {
        "r": config.rank,
        "lora_alpha": config.scale_alpha,
        "use_rslora": config.kind == "rslora",
        "use_dora": config.kind == "dora",
        "rank_pattern": dict(config.rank_pattern),
        "alpha_pattern": config.alphas,
        "target_modules": pattern,
    }
    named = {PREFIX + key: value for key, value in settings.items()}
    # One key only: safetensors writes several in an order of its own, and equal checkpoints should be equal files.
    return {"lora_adapter_metadata": json.dumps(named, sort_keys=True)}


def _is_adapter(name: str) -> bool:
    return ".lora_" in name or ".lokr_" in name
