"""Models that the engine does not draw with yet: FLUX.2 [dev], FLUX.3 [klein].

Their text goes through the very functions of diffusers' pipelines, so its features are those of inference by
construction. Latents are the mode of the VAE's answer: with a cache there is one draw anyway, and the mode has no noise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from finetune.base import Base, BaseFacts, Encoders
from finetune.batch import Grid, Text
from workbench.engine.latents import normalise, pack
from workbench.errors import ModelError
from workbench.models.fingerprint import FileHashes
from workbench.models.loading import DTYPES
from workbench.recipe import Precision

ReadText = Callable[[str], Text]


def load_other(facts: BaseFacts, precision: Precision, device: torch.device, hashes: FileHashes) -> Base:
    """Load a model of a family that has no row in the engine's table.

    Raises:
        ModelError: a component is missing or does not fit its class.
    """
    import diffusers

    path, dtype, family = facts.path, DTYPES[precision], facts.family
    options = {"local_files_only": True, "use_safetensors": True}
    try:
        transformer = getattr(diffusers, family.transformer).from_pretrained(
            path / "transformer", torch_dtype=dtype, **options
        )
        vae = diffusers.AutoencoderKLFlux2.from_pretrained(path / "vae", torch_dtype=dtype, **options).to(device).eval()
        read_text = {"flux2-dev": _flux2_dev, "flux3-klein": _flux3}[family.name](
            path, dtype, device, family.text_layers
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"The model {path} cannot be loaded: {reason}.", "Check that its folder is complete."
        ) from error
    transformer.requires_grad_(requires_grad=False).to(device)

    def read_picture(picture: Image.Image) -> tuple[Tensor, Grid]:
        values = torch.from_numpy(np.asarray(picture.convert("RGB")).astype(np.float32) / 127.5 - 1)
        pixels = values.permute(2, 0, 1)[None].to(device, dtype)  # (1, 3, height, width), -1 to 1
        with torch.no_grad():
            latents = normalise(vae, vae.encode(pixels).latent_dist.mode())
        return pack(latents), (latents.shape[2], latents.shape[3])

    def read_caption(caption: str) -> tuple[Text, str]:
        with torch.no_grad():
            return read_text(caption), ""  # diffusers' functions log what they cut

    def key(*parts: str) -> str:
        files = [file for part in parts for file in sorted((path / part).glob("*")) if file.is_file()]
        return hashes.of_tree(path, files, f"{family.name} {precision} {device.type} {torch.__version__}")

    texts = [each for each in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2") if (path / each).is_dir()]
    encoders = Encoders(read_caption, read_picture, key(*texts), key("vae"))
    return Base(
        facts.name, family, facts.row, key("transformer", "vae", *texts), facts.is_distilled, precision, device,
        transformer, encoders,
    )  # fmt: skip


def _flux2_dev(path: Path, dtype: torch.dtype, device: torch.device, layers: tuple[int, ...]) -> ReadText:
    """Three layers of Mistral Small, with the system message and chat template of `Flux2Pipeline`."""
    from diffusers import Flux2Pipeline
    from transformers import AutoProcessor, Mistral3ForConditionalGeneration

    encoder = Mistral3ForConditionalGeneration.from_pretrained(
        path / "text_encoder", dtype=dtype, local_files_only=True
    )
    encoder.to(device).eval()
    tokenizer = AutoProcessor.from_pretrained(path / "tokenizer", local_files_only=True)
    encode = Flux2Pipeline._get_mistral_3_small_prompt_embeds
    return lambda caption: Text(
        encode(encoder, tokenizer, caption, max_sequence_length=512, hidden_states_layers=list(layers))
    )


def _flux3(path: Path, dtype: torch.dtype, device: torch.device, layers: tuple[int, ...]) -> ReadText:
    """Eight layers of Qwen3-VL over a window of a multiple of 80 tokens, as FLUX.3's modular pipeline."""
    from diffusers.modular_pipelines.flux3.encoders import Flux3TextEncoderStep
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

    encoder = Qwen3VLForConditionalGeneration.from_pretrained(path / "text_encoder", dtype=dtype, local_files_only=True)
    encoder.to(device).eval()
    tokenizer = AutoProcessor.from_pretrained(path / "tokenizer", local_files_only=True)
    encode = Flux3TextEncoderStep._get_qwen3_vl_prompt_embeds
    return lambda caption: Text(encode(encoder, tokenizer, caption, hidden_states_layers=layers))
