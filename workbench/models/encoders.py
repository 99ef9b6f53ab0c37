"""Text encoders from files that transformers does not read as they are: fp8, int8, nf4 and fp4, GGUF, other prefixes.

Matrices that are kept in fewer bits stay so in memory, as in transformers (the networks). Names of llama.cpp are
exchanged for transformers'; its queries and keys of Llama-like models are interleaved, and put back here.

Sources: `gguf-py/gguf/tensor_mapping.py` and `convert_hf_to_gguf.py` of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.models.contents import Value, read_files
from workbench.models.identify import identify, read
from workbench.models.quantise import Packed
from workbench.models.single import fill, mismatch

_LAYERS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
_T5_LAYERS = {
    "attn_q": "layer.0.SelfAttention.q",
    "attn_k": "layer.0.SelfAttention.k",
    "attn_v": "layer.0.SelfAttention.v",
    "attn_o": "layer.0.SelfAttention.o",
    "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
    "attn_norm": "layer.0.layer_norm",
    "ffn_gate": "layer.1.DenseReluDense.wi_0",
    "ffn_up": "layer.1.DenseReluDense.wi_1",
    "ffn_down": "layer.1.DenseReluDense.wo",
    "ffn_norm": "layer.1.layer_norm",
}
_ENDS = {"token_embd.weight": "embed_tokens.weight", "output_norm.weight": "norm.weight"}
_T5_ENDS = {"token_embd.weight": "shared.weight", "enc.output_norm.weight": "encoder.final_layer_norm.weight"}
_BLOCK = re.compile(r"(enc\.)?blk\.(\d+)\.(\w+)\.(weight|bias)")
_LAYER = re.compile(r"layers\.(\d+)\.")
# What stands before the names of a language model's own tensors, and what belongs to none of its layers.
_PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.")
_LEFT_OUT = (
    *("lm_head.", "output.weight", "rope_freqs.", "dec.", "decoder.", "vision_tower.", "multi_modal_projector."),
    *("visual.", "text_projection.", "logit_scale"),
)


def plain(paths: Sequence[Path]) -> bool:
    """Whether transformers reads the weights as they are: whole numbers under its own names."""
    for path in paths:
        if path.suffix == ".gguf":
            return False
        what = identify(read(path))
        if what.numbers.method or "float8" in what.numbers.precision or what.layout == "llama.cpp":
            return False
    return True


def load_encoder(cls: Any, config: Any, paths: Sequence[Path], dtype: torch.dtype) -> nn.Module:
    """A text encoder of transformers' class `cls` from files that `plain` refuses.

    Args:
        cls: for example `T5EncoderModel`, or a trunk such as `Qwen3Model`.
        config: its configuration; layers beyond `num_hidden_layers` are left out of what is read.
        paths: its files.
        dtype: of everything that is not kept in fewer bits, and of the arithmetic.

    Raises:
        ModelError: tensors are missing, left over or of other shapes.
    """
    with torch.device("meta"):
        module: nn.Module = cls(config)
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    state = dict(_renamed(read_files(paths), expected, config))
    for one, other in (
        ("shared.weight", "encoder.embed_tokens.weight"),
        ("encoder.embed_tokens.weight", "shared.weight"),
    ):
        if one in expected and one not in state and other in state:  # T5 keeps its table under either name
            state[one] = state[other]
    got = {name: tuple(value.shape) for name, value in state.items()}
    if got != expected:
        raise mismatch(paths[0], expected, got)
    fill(module, state, dtype)
    _unsaved(module, config)
    return module.eval()


def _renamed(state: Mapping[str, Value], expected: Mapping[str, Any], config: Any) -> Iterator[tuple[str, Value]]:
    layers = getattr(config, "num_hidden_layers", None)
    t5 = "encoder.final_layer_norm.weight" in expected
    cut = not any(name.startswith("norm.") for name in expected)
    for file_name, value in state.items():
        name = _ours(file_name, t5=t5)
        if name not in expected:  # the first T5 had no gate
            name = name.replace("DenseReluDense.wi_1.", "DenseReluDense.wi.")
        short = name if name in expected else next(
            (name.removeprefix(each) for each in _PREFIXES if name.removeprefix(each) in expected), name
        )  # fmt: skip
        if short not in expected and f"text_model.{short}" in expected:
            short = f"text_model.{short}"
        if short not in expected and short.removeprefix("text_model.") in expected:
            short = short.removeprefix("text_model.")
        bare = next((name.removeprefix(each) for each in _PREFIXES if name.startswith(each)), name)
        number = _LAYER.match(bare)
        if short not in expected and (
            name.startswith(_LEFT_OUT)
            or bare.startswith(_LEFT_OUT)
            or (layers is not None and number is not None and int(number[1]) >= layers)
            or (cut and bare == "norm.weight")
            or name.endswith((".position_ids", ".inv_freq"))
        ):
            continue
        turned = file_name.startswith("blk.") and config.model_type == "mistral"
        yield short, _halves(value, file_name, config) if turned else value


def _ours(name: str, *, t5: bool) -> str:
    """The name of llama.cpp as transformers has it; any other stays."""
    found = _BLOCK.fullmatch(name)
    if found is not None:
        table, stack = (_T5_LAYERS, "encoder.block") if t5 else (_LAYERS, "layers")
        return f"{stack}.{found[2]}.{table.get(found[3], found[3])}.{found[4]}"
    return (_T5_ENDS if t5 else _ENDS).get(name, name)


def _halves(value: Value, name: str, config: Any) -> Value:
    """Queries and keys with their rotated halves one after the other, where llama.cpp has them in turns."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(name.split(".")[2])
    if heads is None:
        return value
    order = torch.arange(value.shape[0]).view(heads, -1, 2).transpose(1, 2).flatten()
    return value.take(order) if isinstance(value, Packed) else value[order]


def _unsaved(module: nn.Module, config: Any) -> None:
    """What is in no file: the frequencies of rotations, the numbers of places."""
    for name, part in list(module.named_modules()):
        lacking = [each for each, value in part.named_buffers(recurse=False) if value.is_meta]
        if "inv_freq" in lacking:
            owner, _, last = name.rpartition(".")
            setattr(module.get_submodule(owner), last, type(part)(config))
        elif "position_ids" in lacking:
            count = part.get_buffer("position_ids").shape[-1]
            part.register_buffer("position_ids", torch.arange(count).expand(1, -1), persistent=False)
    left = [name for name, value in (*module.named_parameters(), *module.named_buffers()) if value.is_meta]
    assert not left, left  # names and shapes were equal
