"""Tiny models of the real vision classes with random weights, written as ordinary transformers folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_clip(folder: Path, *, seed: int = 0) -> Path:
    """A CLIP of two layers and width 32 for pictures of 32 pixels and texts of 77 tokens."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(seed)
    tokenizer = clip_tokenizer()
    text = {"vocab_size": len(tokenizer), "bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1}
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=text | small | {"max_position_embeddings": 77, "pad_token_id": len(tokenizer) - 1},
        vision_config=small | {"image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    _lively(CLIPModel(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def clip_tokenizer() -> Any:
    """CLIP's tokenizer with one token a byte, plain and at the end of a word."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    symbols = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={symbol: number for number, symbol in enumerate(symbols)}, merges=[], model_max_length=77
    )


def _lively(model: Any) -> Any:
    """`model` with weights large enough that different inputs give clearly different outputs."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
    return model
