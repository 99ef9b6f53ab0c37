"""Build the embedded model's parts from its recipe, and put them together as an ordinary diffusers folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from diffusers.models import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch import Tensor, nn
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

from workbench.nano.tokenizer import build_tokenizer

TEXT_LAYERS = (1, 2, 3)  # hidden states that the transformer reads; the third is the last, after the final norm


REFERENCE_TIME = 10  # between the times of neighbouring references, as `Flux2KleinPipeline` spaces them


def build_transformer(config: dict[str, Any], latent_channels: int, text_width: int) -> Flux2Transformer2DModel:
    """A fresh transformer of the sizes in `config`, initialised as adaLN-zero (Peebles and Xie 2023).

    Zero gates make every block the identity at first and a zero output layer predicts zero velocity, so that training
    starts from a calm place.
    """
    heads = config["heads"]
    transformer = Flux2Transformer2DModel(
        in_channels=4 * latent_channels,
        num_layers=config["double_blocks"],
        num_single_layers=config["single_blocks"],
        attention_head_dim=config["width"] // heads,
        num_attention_heads=heads,
        joint_attention_dim=len(TEXT_LAYERS) * text_width,
        axes_dims_rope=tuple(config["rope_dims"]),
        rope_theta=config["rope_theta"],
        mlp_ratio=config["mlp_ratio"],
        guidance_embeds=False,
    )
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    for modulation in (
        transformer.double_stream_modulation_img,
        transformer.double_stream_modulation_txt,
        transformer.single_stream_modulation,
    ):
        nn.init.zeros_(modulation.linear.weight)
    nn.init.zeros_(transformer.norm_out.linear.weight)
    nn.init.zeros_(transformer.proj_out.weight)
    return transformer


def build_text_encoder(config: dict[str, Any], tokenizer: Qwen2Tokenizer) -> Qwen3ForCausalLM:
    """A fresh Qwen3 of three layers; its language-model head is tied and never used."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=config["width"],
            intermediate_size=3 * config["width"],
            num_hidden_layers=len(TEXT_LAYERS),
            num_attention_heads=config["heads"],
            num_key_value_heads=config["heads"],
            head_dim=config["width"] // config["heads"],
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.pad_token_id,
        )
    )


def tokenize(tokenizer: Qwen2Tokenizer, prompts: list[str], length: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, each (batch, length), exactly as `Flux2KleinPipeline` makes them.

    Raises:
        ValueError: a prompt needs more than `length` tokens; training must not learn from cut sentences.
    """
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        for prompt in prompts
    ]
    batch = tokenizer(texts, return_tensors="pt", padding="max_length", max_length=length)
    if batch["input_ids"].shape[1] > length:
        raise ValueError(f"a prompt needs {batch['input_ids'].shape[1]} tokens, more than {length}")
    return batch["input_ids"], batch["attention_mask"]


def encode_text(text_encoder: Qwen3ForCausalLM, ids: Tensor, mask: Tensor) -> Tensor:
    """Hidden states of the layers that are read, side by side: (batch, length, 3 * text width)."""
    states = text_encoder.model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
    return torch.cat([states.hidden_states[layer] for layer in TEXT_LAYERS], dim=-1)


def position_ids(length: int, height: int, width: int, references: int = 0) -> tuple[Tensor, Tensor]:
    """Rotary positions (t, h, w, l) of `length` text tokens and of the picture's tokens followed by its references'.

    Pictures and references have height x width tokens; the k-th reference stands at the time 10 k, as FLUX.2 counts.
    """
    text = torch.zeros(length, 4)
    text[:, 3] = torch.arange(length)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pictures = torch.zeros(1 + references, height * width, 4)
    pictures[:, :, 0] = REFERENCE_TIME * torch.arange(1 + references)[:, None]
    pictures[:, :, 1], pictures[:, :, 2] = rows.flatten(), columns.flatten()
    return text, pictures.flatten(0, 1)


class Denoiser(nn.Module):
    """Text encoder and transformer as one module, so that they share optimiser, average and checkpoint."""

    def __init__(self, config: dict[str, Any], latent_channels: int) -> None:
        super().__init__()
        self.text_encoder = build_text_encoder(config["text_encoder"], build_tokenizer())
        self.transformer = build_transformer(config["transformer"], latent_channels, config["text_encoder"]["width"])

    def forward(
        self, latents: Tensor, time: Tensor, *, text: tuple[Tensor, Tensor], positions: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Velocity (b, tokens, channels) of `latents` at `time` (b,), 0 to 1.

        Args:
            latents: (b, tokens, channels), the clean references' tokens after the noisy picture's.
            time: (b,), 0 is the picture and 1 is noise.
            text: token ids and attention mask, (b, length) each.
            positions: of text (length, 4) and picture tokens (tokens, 4).
        """
        velocity: Tensor = self.transformer(
            hidden_states=latents,
            encoder_hidden_states=encode_text(self.text_encoder, *text),
            timestep=time,
            img_ids=positions[1],
            txt_ids=positions[0],
            return_dict=False,
        )[0]
        return velocity


def save_pipeline(
    folder: Path,
    transformer: Flux2Transformer2DModel,
    text_encoder: Qwen3ForCausalLM,
    vae: AutoencoderKLFlux2,
    *,
    shift: float,
    is_distilled: bool,
) -> None:
    """Write everything to `folder` as `Flux2KleinPipeline.from_pretrained` reads it, the transformer in bfloat16.

    The autoencoder stays in float32, as its batch-norm statistics decide every colour; so does the text encoder, as
    transformers loads weights as they are stored while diffusers loads them in float32, and the two must agree.
    """
    vae.register_to_config(_name_or_path="")  # a path of the training machine is nobody's business
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=False),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=build_tokenizer(),
        transformer=nn.Module.to(transformer, torch.bfloat16),
        is_distilled=is_distilled,
    ).save_pretrained(folder, safe_serialization=True)
