# ruff: noqa: D103, E501 - tables of names and shapes, read line by line
"""How weights are kept: types, fp8, nf4, int8, GGUF and llama.cpp's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scripts.layouts.names import Shapes, is_matrix
from workbench.models.identify.header import Header, TensorEntry


def typed(shapes: Shapes, dtype: str, metadata: Mapping[str, str] | None = None) -> Header:
    entries = {
        name: TensorEntry("I64" if name.endswith(("num_batches_tracked", "position_ids")) else dtype, shape)
        for name, shape in shapes.items()
    }
    return Header("safetensors", entries, dict(metadata or {}))


def fp8(shapes: Shapes, *, scale: str = "", mark: bool = False, only: str = "", dtype: str = "F8_E4M3") -> Header:
    """Matrices in fp8; `scale` beside each: 'scale_weight' (ComfyUI), 'weight_scale' with inputs (both)."""
    entries = {}
    for name, shape in shapes.items():
        chosen = is_matrix(name, shape) and only in name
        entries[name] = TensorEntry(dtype if chosen else "BF16", shape)
        if chosen and scale:
            entries[f"{name.removesuffix('.weight')}.{scale}"] = TensorEntry("F32", ())
            if scale == "weight_scale":
                entries[f"{name.removesuffix('.weight')}.input_scale"] = TensorEntry("F32", ())
    if mark:
        entries["scaled_fp8"] = TensorEntry(dtype, (2,))
    return Header("safetensors", entries, {})


def nf4(shapes: Shapes, *, nested: bool = False, only: str = "blocks.") -> Header:
    """bitsandbytes: two values a byte in one column, a scale for each 64 values, the table of 16 values."""
    entries = {}
    for name, shape in shapes.items():
        if not is_matrix(name, shape) or only not in name:
            entries[name] = TensorEntry("BF16", shape)
            continue
        count = shape[0] * shape[1]
        entries[name] = TensorEntry("U8", (count // 2, 1))
        entries[f"{name}.absmax"] = TensorEntry("U8" if nested else "F32", (count // 64,))
        entries[f"{name}.quant_map"] = TensorEntry("F32", (16,))
        entries[f"{name}.quant_state.bitsandbytes__nf4"] = TensorEntry("U8", (82,))
        if nested:
            entries[f"{name}.nested_absmax"] = TensorEntry("F32", (-(-count // 64 // 256),))
            entries[f"{name}.nested_quant_map"] = TensorEntry("F32", (256,))
    return Header("safetensors", entries, {})


def int8(shapes: Shapes) -> Header:
    entries = {}
    for name, shape in shapes.items():
        entries[name] = TensorEntry("I8" if is_matrix(name, shape) else "F16", shape)
        if is_matrix(name, shape):
            entries[f"{name.removesuffix('.weight')}.SCB"] = TensorEntry("F32", (shape[0],))
            entries[f"{name.removesuffix('.weight')}.weight_format"] = TensorEntry("U8", ())
    return Header("safetensors", entries, {})


def gguf(shapes: Shapes, dtype: str, architecture: str, *, name: str = "") -> Header:
    """ComfyUI-GGUF: matrices quantised, what is small or at the ends in F32 or BF16."""
    entries = {}
    for key, shape in shapes.items():
        small = len(shape) < 2 or key.startswith(
            ("img_in", "txt_in", "time_in", "vector_in", "guidance_in", "final_layer")
        )
        entries[key] = TensorEntry(("F32" if len(shape) < 2 else "BF16") if small else dtype, shape)
    metadata = {"general.architecture": architecture, "general.quantization_version": "2"}
    return Header("gguf", entries, metadata | ({"general.name": name} if name else {}))


def llama_t5(shapes: Shapes) -> Shapes:
    """llama.cpp's names of T5's encoder."""
    found = {
        "token_embd.weight": shapes["shared.weight"],
        "enc.output_norm.weight": shapes["encoder.final_layer_norm.weight"],
    }
    for name, shape in shapes.items():
        block = re.match(r"encoder\.block\.(\d+)\.layer\.(\d)\.(.*)", name)
        if block is None:
            continue
        number, layer, rest = block.groups()
        short = {
            "SelfAttention.q.weight": "attn_q", "SelfAttention.k.weight": "attn_k", "SelfAttention.v.weight": "attn_v",
            "SelfAttention.o.weight": "attn_o", "SelfAttention.relative_attention_bias.weight": "attn_rel_b",
            "DenseReluDense.wi_0.weight": "ffn_gate", "DenseReluDense.wi_1.weight": "ffn_up",
            "DenseReluDense.wo.weight": "ffn_down", "layer_norm.weight": "attn_norm" if layer == "0" else "ffn_norm",
        }[rest]  # fmt: skip
        found[f"enc.blk.{number}.{short}.weight"] = shape
    return found


def llama_qwen3(shapes: Shapes) -> Shapes:
    """llama.cpp's names of Qwen3."""
    short = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    found = {
        "token_embd.weight": shapes["model.embed_tokens.weight"],
        "output_norm.weight": shapes["model.norm.weight"],
    }
    for name, shape in shapes.items():
        block = re.match(r"model\.layers\.(\d+)\.(.*)\.weight", name)
        if block:
            found[f"blk.{block[1]}.{short[block[2]]}.weight"] = shape
    return found
