"""Tiny models of the real vision classes with random weights, written as ordinary transformers folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import byte_tokenizer


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


def write_owlv2(folder: Path) -> Path:
    """An OWLv2 of two layers for pictures of 32 pixels: 16 places that vote."""
    import torch
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessorPil

    torch.manual_seed(1)
    tokenizer = clip_tokenizer()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Owlv2Config(
        text_config=small
        | {"vocab_size": len(tokenizer), "max_position_embeddings": 32, "pad_token_id": 0}
        | {"bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1},
        vision_config=small | {"image_size": 32, "patch_size": 8},
        projection_dim=32,
    )
    _lively(Owlv2ForObjectDetection(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Owlv2ImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def _swin() -> dict[str, Any]:
    return {
        "model_type": "swin", "image_size": 64, "patch_size": 2, "embed_dim": 8, "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2], "window_size": 4,
    }  # fmt: skip


def write_grounding_dino(folder: Path) -> Path:
    """A Grounding DINO with a Swin of one layer a stage and a BERT of two layers."""
    import torch
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, GroundingDinoImageProcessorPil

    torch.manual_seed(2)
    tokenizer = bert_tokenizer()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = GroundingDinoConfig(
        backbone_config=_swin() | {"out_indices": [2, 3, 4]},
        text_config=small | {"model_type": "bert", "vocab_size": len(tokenizer)},
        num_queries=12, encoder_layers=1, decoder_layers=2, d_model=32, encoder_ffn_dim=64, decoder_ffn_dim=64,
        encoder_attention_heads=2, decoder_attention_heads=2, disable_custom_kernels=True,
    )  # fmt: skip
    _lively(GroundingDinoForObjectDetection(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128}).save_pretrained(folder)
    return folder


def bert_tokenizer() -> Any:
    """BERT's tokenizer with one token a letter."""
    from transformers import BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz.0123456789"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})


def write_mask2former(folder: Path) -> Path:
    """A Mask2Former with a Swin of one layer a stage, ten queries and three classes of COCO."""
    import torch
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessorPil

    torch.manual_seed(3)
    config = Mask2FormerConfig(
        backbone_config=_swin() | {"out_features": ["stage1", "stage2", "stage3", "stage4"]},
        feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=64, encoder_layers=1,
        decoder_layers=2, num_attention_heads=2, dim_feedforward=64, num_queries=10,
        id2label={0: "dog", 1: "mouse", 2: "cup"}, label2id={"dog": 0, "mouse": 1, "cup": 2},
    )  # fmt: skip
    _lively(Mask2FormerForUniversalSegmentation(config)).save_pretrained(folder)
    Mask2FormerImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128}, size_divisor=32).save_pretrained(
        folder
    )
    return folder


CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_qwen_vl(folder: Path) -> Path:
    """A Qwen2.5-VL of two layers that reads one token a byte, and "yes" and "no" as one token each."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessorPil

    torch.manual_seed(4)
    tokenizer = byte_tokenizer()
    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.add_tokens(["yes", "Yes", "no", "No", "three"])
    tokenizer.chat_template = CHAT
    start, end, image, video = tokenizer.convert_tokens_to_ids(marks)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 512,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
            "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1],
        },
        image_token_id=image, video_token_id=video, vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    _lively(Qwen2_5_VLForConditionalGeneration(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=4, min_pixels=16 * 16, max_pixels=64 * 64).save_pretrained(folder)
    return folder


def write_siglip(folder: Path) -> Path:
    """A SigLIP of two layers and width 32 for pictures of 32 pixels and texts of 16 tokens."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    torch.manual_seed(5)
    tokenizer = clip_tokenizer()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1, "pad_token_id": len(tokenizer) - 1}
    config = SiglipConfig(
        text_config=small | ends | {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32},
        vision_config=small | {"image_size": 32, "patch_size": 8},
    )
    _lively(SiglipModel(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def write_dino(folder: Path) -> Path:
    """A DINOv2 of two layers and width 32 for pictures of 28 pixels."""
    import torch
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    torch.manual_seed(6)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=7)
    _lively(Dinov2Model(config)).save_pretrained(folder)
    size = {"height": 28, "width": 28}
    BitImageProcessorPil(size={"shortest_edge": 28}, crop_size=size).save_pretrained(folder)
    return folder
