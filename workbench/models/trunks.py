"""Text encoders that are the language part of a model which also sees: loaded without its eyes, head and late layers.

Hidden states 0 to `layers` are bit-equal to those of the whole model, as in `workbench.models.parts.load_trunk`; the
final norm is kept exactly when no layer was cut.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.models.checkpoint import component_weights
from workbench.models.encoders import load_encoder, plain
from workbench.models.families import Family

# Names of the language part in files of transformers 4 and 5, without which it is a model of its own.
_NAMES = {r"^model\.language_model\.": "", r"^language_model\.model\.": ""}


def language_trunk(folder: Path, dtype: torch.dtype, family: Family) -> nn.Module:
    """The language part in `folder` (Mistral3 or Qwen3-VL), cut after the last layer that the family reads.

    Raises:
        OSError, ValueError, RuntimeError: as transformers raises them for a folder that does not fit.
    """
    from transformers import AutoConfig, MistralModel, Qwen3VLTextModel

    classes: dict[str, Any] = {"mistral": MistralModel, "qwen3_vl_text": Qwen3VLTextModel}
    config = AutoConfig.from_pretrained(folder, local_files_only=True).text_config
    if config.model_type not in classes:
        raise ValueError(f"its language part is {config.model_type!r}, not one of {', '.join(classes)}")
    layers = max(family.text_layers)
    cut = layers < config.num_hidden_layers
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    trunk: nn.Module
    paths = component_weights(folder)
    if not plain(paths):
        trunk = load_encoder(classes[config.model_type], config, paths, dtype)
        if cut:
            trunk.norm = nn.Identity()
        return trunk
    trunk, facts = classes[config.model_type].from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        key_mapping=_NAMES,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    if facts["missing_keys"]:  # transformers would fill them with random numbers
        raise ValueError(f"weights are missing, among them {min(facts['missing_keys'])}")
    if cut:
        trunk.norm = nn.Identity()
    return trunk


def chat_tokenizer(folder: Path, dtype: torch.dtype, family: Family) -> Any:  # noqa: ARG001
    """The tokenizer of a processor's folder: the part of it that prompts go through, which needs no torchvision.

    Raises:
        OSError, ValueError: no tokenizer, or one without a chat template.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise ValueError("the tokenizer has no chat template")
    return tokenizer
