"""Shared fixtures: tiny models of the real classes with random weights, written as ordinary diffusers folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from workbench.models import ModelCatalog

if TYPE_CHECKING:
    from workbench.engine import Engine

# No deadline: the machine may be busy with other work. The same examples in every run, so that a red suite is red again;
# `pytest --hypothesis-profile=explore` draws new ones.
settings.register_profile("workbench", deadline=None, max_examples=50, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=200)
settings.load_profile("workbench")

DYNAMIC = {"num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": True, "time_shift_type": "exponential"}
TARGETS = ["attn.to_q", "attn.to_out.0", "attn.to_qkv_mlp_proj"]  # what the test adapters change
STATIC = {"num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": False}

CHAT_TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)


@dataclass(frozen=True)
class TinyKlein:
    """Folders of tiny klein models; `root` serves as a catalog's extra folder."""

    root: Path
    base: Path  # undistilled, dynamic shift; catalog name 'tiny-base'
    distilled: Path  # catalog name 'tiny-distilled'
    static: Path  # undistilled, static shift; catalog name 'tiny-static'


@pytest.fixture(scope="session")
def tiny_klein(tmp_path_factory: pytest.TempPathFactory) -> TinyKlein:
    """Three tiny random models: real architecture, a few hundred thousand parameters in all."""
    root = tmp_path_factory.mktemp("models")
    return TinyKlein(
        root=root,
        base=write_klein(root / "tiny-base", seed=1),
        distilled=write_klein(root / "tiny-distilled", seed=2, distilled=True),
        static=write_klein(root / "tiny-static", seed=3, scheduler=STATIC),
    )


def write_klein(
    folder: Path, *, seed: int, distilled: bool = False, scheduler: dict[str, Any] | None = None, layers: int = 5
) -> Path:
    """Write a klein folder with random weights: 2 + 2 blocks of width 64 and a text encoder of `layers` layers."""
    import torch
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    text_width = 32
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=3 * text_width, timestep_guidance_channels=32, axes_dims_rope=(8, 8, 8, 8),
        guidance_embeds=False,
    )  # fmt: skip
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=64
    )
    vae.bn.running_mean.normal_(0, 0.3)
    vae.bn.running_var.uniform_(0.5, 2)
    tokenizer = byte_tokenizer()
    encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer), hidden_size=text_width, intermediate_size=64, num_hidden_layers=layers,
            num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=512,
            tie_word_embeddings=False,
        )
    )  # fmt: skip
    with torch.no_grad():  # the default initialisation leaves text and time almost without influence
        for part in (transformer, encoder):
            for parameter in part.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(0, parameter.shape[1] ** -0.5)
    transformer.save_pretrained(folder / "transformer")
    vae.save_pretrained(folder / "vae")
    encoder.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    FlowMatchEulerDiscreteScheduler(**(scheduler or DYNAMIC)).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "Flux2KleinPipeline",
        "is_distilled": distilled,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3ForCausalLM"],
        "tokenizer": ["transformers", "Qwen2TokenizerFast"],
        "transformer": ["diffusers", "Flux2Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLFlux2"],
    }
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def byte_tokenizer() -> Any:
    """A Qwen2 tokenizer with one token a byte, the chat marks, and the two role names."""
    from transformers import Qwen2Tokenizer

    vocab = {symbol: number for number, symbol in enumerate(_byte_symbols())}
    tokenizer = Qwen2Tokenizer(vocab=vocab | {"<|endoftext|>": len(vocab)}, merges=[])
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.add_tokens(["<think>", "</think>", "user", "assistant"])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _byte_symbols() -> list[str]:
    """The printable stand-ins of the 256 bytes in byte-level BPE (Radford et al. 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(rest))]


@pytest.fixture(scope="session")
def tiny_home(tiny_klein: TinyKlein, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workbench home with the adapters 'plain' and 'scaled' for the model 'tiny-base'."""
    home = tmp_path_factory.mktemp("home")
    write_adapter(home / "adapters" / "plain.safetensors", tiny_klein.base, rank=4, seed=1)
    write_adapter(home / "adapters" / "scaled.safetensors", tiny_klein.base, rank=2, seed=2, alpha=6.0)
    return home


@pytest.fixture(scope="session")
def tiny_catalog(tiny_klein: TinyKlein, tiny_home: Path) -> ModelCatalog:
    """The catalog of the tiny models and adapters, on the CPU."""
    return ModelCatalog(tiny_home, tiny_klein.root, device="cpu")


@pytest.fixture(scope="session")
def tiny_engine(tiny_catalog: ModelCatalog) -> Engine:
    """An engine over the tiny models; batches of at most four."""
    from workbench.engine import Engine

    return Engine(tiny_catalog, device="cpu", batch_size=4)


def write_adapter(path: Path, model: Path, *, rank: int, seed: int, alpha: float | None = None) -> Path:
    """Write a random LoRA on the attention of `model`, strong enough to be seen, with diffusers names."""
    import torch
    from safetensors.torch import save_file

    from workbench.models.checkpoint import read_header

    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    header = read_header(model / "transformer" / "diffusion_pytorch_model.safetensors")
    for key, entry in header.items():
        name = key.removesuffix(".weight")
        if not name.endswith(tuple(TARGETS)):
            continue
        out_features, in_features = entry["shape"]
        prefix = f"transformer.{name}"
        tensors[f"{prefix}.lora_A.weight"] = torch.randn(rank, in_features, generator=generator) * in_features**-0.5
        tensors[f"{prefix}.lora_B.weight"] = torch.randn(out_features, rank, generator=generator) * 0.5
    settings = {"transformer.r": rank, "transformer.lora_alpha": alpha, "transformer.target_modules": TARGETS}
    metadata = {"format": "pt"} if alpha is None else {"lora_adapter_metadata": json.dumps(settings)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)
    return path
