"""Tiny models of FLUX.2 [dev] and FLUX.3 [klein] with random weights: the real classes, a few hundred thousand values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.conftest import DYNAMIC, byte_tokenizer

# Contents are a list of parts or a text, roles are kept apart; both libraries' templates do that much.
PARTS_TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.content is string %}{{ message.content }}{%- else %}"
    "{%- for part in message.content %}{{ part.text }}{%- endfor %}{%- endif %}{{ '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
TEXT_WIDTH = 16


def write_dev(folder: Path, *, seed: int) -> Path:
    """A FLUX.2 [dev] folder: 2 + 2 blocks of width 64, a Mistral3 text encoder of 31 layers."""
    from diffusers import FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, MistralConfig, PixtralVisionConfig

    torch.manual_seed(seed)
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=3 * TEXT_WIDTH, timestep_guidance_channels=32, axes_dims_rope=(8, 8, 8, 8),
        guidance_embeds=True,
    )  # fmt: skip
    tokenizer = _tokenizer()
    encoder = Mistral3ForConditionalGeneration(
        Mistral3Config(
            vision_config=PixtralVisionConfig(
                hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32
            ),
            text_config=MistralConfig(
                vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=32, num_hidden_layers=31,
                num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=512,
            ),
            image_token_index=len(tokenizer) - 1,
        )
    )  # fmt: skip
    _save(folder, transformer, encoder, tokenizer)
    FlowMatchEulerDiscreteScheduler(**DYNAMIC).save_pretrained(folder / "scheduler")
    index = _index("Flux2Pipeline", "Flux2Transformer2DModel", "Mistral3ForConditionalGeneration", "PixtralProcessor")
    index["scheduler"] = ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def write_flux3(folder: Path, *, seed: int, flow_map: bool) -> Path:
    """A FLUX.3 [klein] folder: 2 blocks a mode and 2 joint ones of width 64, a Qwen3-VL text encoder of 33 layers."""
    from diffusers import Flux3Transformer2DModel
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    torch.manual_seed(seed)
    transformer = Flux3Transformer2DModel(
        in_channels=16, cond_in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32,
        num_attention_heads=2, joint_attention_dim=8 * TEXT_WIDTH, timestep_channels=32, axes_dims_rope=(8, 8, 8, 8),
        flow_map=flow_map,
    )  # fmt: skip
    tokenizer = _tokenizer()
    encoder = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            text_config={
                "vocab_size": len(tokenizer), "hidden_size": TEXT_WIDTH, "intermediate_size": 32, "num_hidden_layers": 33,
                "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 1024,
                "rope_parameters": {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10000.0},
            },
            vision_config={
                "depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": TEXT_WIDTH,
                "deepstack_visual_indexes": [0], "patch_size": 16, "num_position_embeddings": 16,
            },
        )
    )  # fmt: skip
    _save(folder, transformer, encoder, tokenizer)
    pipeline = "Flux3DistilledModularPipeline" if flow_map else "Flux3ModularPipeline"
    index = _index(pipeline, "Flux3Transformer2DModel", "Qwen3VLForConditionalGeneration", "Qwen3VLProcessor")
    # modular repositories state where each component is loaded from
    index = {name: [*entry, {"subfolder": name}] if isinstance(entry, list) else entry for name, entry in index.items()}
    (folder / "modular_model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def _tokenizer() -> Any:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["system"])
    tokenizer.chat_template = PARTS_TEMPLATE
    return tokenizer


def _save(folder: Path, transformer: nn.Module, encoder: nn.Module, tokenizer: Any) -> None:
    from diffusers import AutoencoderKLFlux2

    vae: Any = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=64
    )
    vae.bn.running_mean.normal_(0, 0.3)
    vae.bn.running_var.uniform_(0.5, 2)
    with torch.no_grad():  # the default initialisation leaves text and time almost without influence
        for part in (transformer, encoder):
            for parameter in part.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(0, parameter.shape[1] ** -0.5)
    parts: dict[str, Any] = {"transformer": transformer, "vae": vae, "text_encoder": encoder, "tokenizer": tokenizer}
    for name, part in parts.items():
        part.save_pretrained(folder / name)


def _index(pipeline: str, transformer: str, encoder: str, tokenizer: str) -> dict[str, Any]:
    return {
        "_class_name": pipeline,
        "transformer": ["diffusers", transformer],
        "vae": ["diffusers", "AutoencoderKLFlux2"],
        "text_encoder": ["transformers", encoder],
        "tokenizer": ["transformers", tokenizer],
    }
