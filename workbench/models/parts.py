"""One component of a model from its folder, by the name of its class.

A class of diffusers or transformers is read as it is. Three need more: a scheduler is its configuration only; a tokenizer
of a chat model has to have its template; and the Qwen3 text encoder is loaded as its trunk, cut after the last layer that
the family reads, which gives the same bits as the whole language model and saves a quarter of its work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from workbench.models.checkpoint import INTEGERS, component_weights, read_header
from workbench.models.encoders import load_encoder
from workbench.models.encoders import plain as plain_encoder
from workbench.models.families import Family
from workbench.models.identify import identify, read
from workbench.models.single import load_single, plain
from workbench.models.trunks import chat_tokenizer, language_trunk

Loader = Callable[[Path, torch.dtype, Family], Any]

_COUNTS = ("position_ids", "num_batches_tracked")  # whole numbers that are no weights
_STATISTICS = ("running_mean", "running_var")  # no parameters, and as needed


def load_part(folder: Path, cls: str, dtype: torch.dtype, family: Family) -> Any:
    """The component in `folder`, on the CPU: a module, a tokenizer, or the configuration of a scheduler.

    Raises:
        OSError, ValueError, RuntimeError: as the libraries raise them for a folder that does not fit.
    """
    if cls in _OWN:
        return _OWN[cls](folder, dtype, family)
    import diffusers
    import transformers

    if hasattr(diffusers, cls):
        found: Any = getattr(diffusers, cls)
        paths = component_weights(folder)
        _check_numbers(paths)
        if not plain(paths):
            return load_single(found, folder, paths, dtype)
        return _whole(found, folder, torch_dtype=dtype)
    found = getattr(transformers, cls)
    if issubclass(found, nn.Module):
        paths = component_weights(folder)
        _check_numbers(paths)
        if not plain_encoder(paths):
            config = found.config_class.from_pretrained(folder, local_files_only=True)
            return load_encoder(found, config, paths, dtype)
        return _whole(found, folder, dtype=dtype)
    return found.from_pretrained(folder, local_files_only=True)


def _check_numbers(paths: Sequence[Path]) -> None:
    """Refuse whole numbers where weights are fractions and no known form of quantisation says what they mean.

    Raises:
        ValueError: names the tensor.
    """
    for path in paths:
        if path.suffix == ".gguf" or identify(read(path)).numbers.method:
            continue
        for name, entry in read_header(path).items():
            if str(entry.get("dtype")) in INTEGERS and not name.endswith(_COUNTS):
                raise ValueError(f"its tensor {name} holds {entry['dtype']}, not floating-point numbers")


def _whole(found: Any, folder: Path, **options: Any) -> Any:
    """A module of the libraries' class `found`, refused where the libraries would make up what the files lack.

    Raises:
        ValueError: names a weight that is missing.
    """
    module, facts = found.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, output_loading_info=True, **options
    )
    own = dict(module.named_parameters(remove_duplicate=False))
    absent = set(facts["missing_keys"])
    there = {id(value) for name, value in own.items() if name not in absent}  # one tensor may have two names
    lacking = {name for name in absent if name.endswith(_STATISTICS) or (name in own and id(own[name]) not in there)}
    if lacking:
        raise ValueError(f"weights are missing, among them {min(lacking)}")
    return module


def _scheduler(folder: Path, dtype: torch.dtype, family: Family) -> dict[str, Any]:  # noqa: ARG001
    from diffusers import FlowMatchEulerDiscreteScheduler

    if family.scheduler is not None:
        return dict(family.scheduler)
    config = dict(FlowMatchEulerDiscreteScheduler.load_config(folder, local_files_only=True))
    if config.get("stochastic_sampling"):
        raise ValueError("stochastic sampling is not supported, as a picture follows from its seed alone")
    return config


def _chat_tokenizer(folder: Path, dtype: torch.dtype, family: Family) -> Any:  # noqa: ARG001
    from transformers import Qwen2Tokenizer

    tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise ValueError("the tokenizer has no chat template")
    return tokenizer


def _qwen3(folder: Path, dtype: torch.dtype, family: Family) -> nn.Module:
    return load_trunk(folder, max(family.text_layers), dtype)


def load_trunk(folder: Path, layers: int, dtype: torch.dtype) -> nn.Module:
    """The Qwen3 trunk in `folder`, cut after its first `layers` layers, without the language-model head.

    Hidden states 0 to `layers` of the trunk are bit-equal to those of the whole model: the final norm, which transformers
    applies to the last hidden state only, is kept exactly when no layer was cut.

    Raises:
        OSError, ValueError, RuntimeError: as transformers raises them for a folder that does not fit.
    """
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config.from_pretrained(folder, local_files_only=True)
    cut = layers < config.num_hidden_layers
    config.num_hidden_layers = layers
    config.layer_types = config.layer_types[:layers]
    paths = component_weights(folder)
    _check_numbers(paths)
    if plain_encoder(paths):
        trunk = _whole(Qwen3Model, folder, config=config, dtype=dtype)
    else:
        trunk = load_encoder(Qwen3Model, config, paths, dtype)
    if cut:
        trunk.norm = nn.Identity()
    return trunk  # type: ignore[no-any-return]


_OWN: Mapping[str, Loader] = MappingProxyType(
    {
        "FlowMatchEulerDiscreteScheduler": _scheduler,
        "Qwen2Tokenizer": _chat_tokenizer,
        "Qwen3ForCausalLM": _qwen3,
        "Mistral3ForConditionalGeneration": language_trunk,
        "Qwen3VLForConditionalGeneration": language_trunk,
        "AutoProcessor": chat_tokenizer,
    }
)
