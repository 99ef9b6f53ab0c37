"""How tools name the tensors of an adapter, and what each name stands for.

| dialect | written by | example |
|---|---|---|
| diffusers | diffusers, SimpleTuner, OneTrainer, fal | `transformer.transformer_blocks.0.attn.to_q.lora_A.weight` |
| peft | peft's own save | `base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight` |
| bfl | ai-toolkit, ComfyUI trainers | `diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight` |
| kohya | sd-scripts, musubi-tuner | `lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight` |
| onetrainer | OneTrainer | `lora_transformer_transformer_blocks_0_attn_to_q.lora_down.weight` |
| onetrainer-bfl | newer OneTrainer | `transformer.double_blocks.0.img_attn.qkv.0.lora_down.weight` |
| xlabs | x-flux | `double_blocks.0.processor.qkv_lora1.down.weight` |
| lycoris | LyCORIS, SimpleTuner | `lycoris_transformer_blocks_0_attn_to_q.lokr_w1` |

The kind of matrices (LoRA, DoRA, LoKr, LoHa) is independent of the dialect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from workbench.models.dialects.layout import Architecture, Place

Dialect = Literal["diffusers", "peft", "bfl", "kohya", "onetrainer", "onetrainer-bfl", "xlabs", "lycoris"]

# Longest endings first: `.lora_A.default.weight` also ends with `.weight`.
ENDINGS = (
    (".lora_A.default.weight", "down"),
    (".lora_B.default.weight", "up"),
    (".lora_magnitude_vector.default.weight", "magnitude"),
    (".lora_magnitude_vector.default", "magnitude"),
    (".lora_magnitude_vector.weight", "magnitude"),
    (".lora_magnitude_vector", "magnitude"),
    (".dora_scale", "magnitude"),
    (".lora_A.weight", "down"),
    (".lora_B.weight", "up"),
    (".lora_down.weight", "down"),
    (".lora_up.weight", "up"),
    (".lora.down.weight", "down"),
    (".lora.up.weight", "up"),
    (".alpha", "alpha"),
    *(
        (f".{name}{default}", name)
        for name in (
            *("lokr_w1_a", "lokr_w1_b", "lokr_w1", "lokr_w2_a", "lokr_w2_b", "lokr_w2"),
            *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
        )
        for default in ("", ".default")
    ),
    (".diff", "diff"),
)

# Parts of a pipeline beside the transformer that trainers put into the same file.
TEXT_ENCODERS = ("lora_te", "text_encoder.", "text_encoder_2.", "text_model.", "te1.", "te2.", "te3.")

_XLABS = re.compile(
    r"(?:diffusion_model\.)?(?P<stack>double|single)_blocks\.(?P<block>\d+)\.processor\."
    r"(?P<what>qkv|proj)_lora(?P<stream>[12]?)\.(?P<part>down|up)\.weight"
)
_XLABS_LAYERS = {
    ("double", "qkv", "1"): "double_blocks.#.img_attn.qkv",
    ("double", "qkv", "2"): "double_blocks.#.txt_attn.qkv",
    ("double", "proj", "1"): "double_blocks.#.img_attn.proj",
    ("double", "proj", "2"): "double_blocks.#.txt_attn.proj",
    ("single", "qkv", ""): "single_blocks.#.linear1",
    ("single", "proj", ""): "single_blocks.#.linear2",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A tensor's name, taken apart."""

    dialect: Dialect
    module: str  # without its prefix, in the dialect's own spelling
    part: str  # 'down', 'up', 'alpha', 'magnitude', 'lokr_w1', ...


def split_key(key: str) -> Key | None:
    """Take a tensor's name apart, or None when it follows no known dialect.

    Whether the module exists is another question: see `place_of`.
    """
    xlabs = _XLABS.fullmatch(key)
    if xlabs:
        layer = _XLABS_LAYERS.get((xlabs["stack"], xlabs["what"], xlabs["stream"]))
        return None if layer is None else Key("xlabs", layer.replace("#", xlabs["block"]), xlabs["part"])
    if key.startswith(TEXT_ENCODERS):
        return None
    for ending, part in ENDINGS:
        if key.endswith(ending):
            return _prefixed(key.removesuffix(ending), part)
    return None


def _prefixed(module: str, part: str) -> Key:
    for prefix, dialect in (
        ("lora_unet_", "kohya"),
        ("lora_transformer_", "onetrainer"),
        ("lycoris_", "lycoris"),
        ("base_model.model.", "peft"),
        ("diffusion_model.", "bfl"),
        ("transformer.", "diffusers"),
    ):
        if module.startswith(prefix):
            rest = module.removeprefix(prefix)
            if dialect == "diffusers" and rest.startswith(("double_blocks.", "single_blocks.")):
                return Key("onetrainer-bfl", rest, part)
            return Key(dialect, rest, part)  # type: ignore[arg-type]
    original = module.startswith(("double_blocks.", "single_blocks.", "content_mode_blocks."))
    return Key("bfl" if original else "diffusers", module, part)


def place_of(key: Key, architecture: Architecture) -> Place | None:
    """The layer of `architecture` that a key changes, or None when it has no such layer.

    Prefixes and namings are mixed in the wild (`diffusion_model.transformer_blocks...`), so every spelling is tried
    with every prefix; the names themselves never collide.
    """
    if key.dialect == "xlabs":
        return architecture.find_original(key.module)
    return (
        architecture.find(key.module)
        or architecture.find_original(key.module)
        or architecture.find_flat_original(key.module)
        or architecture.find_flat(key.module)
    )


def original_key(module: str, part: str, dialect: Dialect) -> str:
    """The name of a tensor in a dialect that has the original's modules: bfl or kohya."""
    if dialect == "kohya":
        return f"lora_unet_{module.replace('.', '_')}.{ {'down': 'lora_down.weight', 'up': 'lora_up.weight'}.get(part, part) }"
    return f"diffusion_model.{module}.{ {'down': 'lora_A.weight', 'up': 'lora_B.weight'}.get(part, part) }"
