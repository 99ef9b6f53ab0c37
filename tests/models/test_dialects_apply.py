"""Adapters of every dialect in a transformer: the same weights, peft's DoRA, and refusals that name both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.conftest import TinyKlein
from workbench.errors import ModelError
from workbench.models.adapters import AdapterFile, AdapterMerger

WIDTH, RANK = 64, 3


@pytest.fixture(scope="module")
def transformer(tiny_klein: TinyKlein) -> nn.Module:
    from diffusers import Flux2Transformer2DModel

    model: nn.Module = Flux2Transformer2DModel.from_pretrained(tiny_klein.base / "transformer")
    return model


def pair(rows: int, columns: int = WIDTH, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(RANK, columns, generator=generator), torch.randn(rows, RANK, generator=generator)


def merged(transformer: nn.Module, path: Path, tensors: dict[str, Tensor], **metadata: str) -> dict[str, Tensor]:
    """What changed in the transformer's weights."""
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, path, metadata or None)
    before = {name: value.clone() for name, value in transformer.state_dict().items()}
    merger = AdapterMerger(transformer)
    merger.apply([AdapterFile(path, path.stem, 0.5)])
    after = {name: value.clone() for name, value in transformer.state_dict().items()}
    merger.apply([])
    assert all(torch.equal(before[name], value) for name, value in transformer.state_dict().items())
    return {name: after[name] - before[name] for name in before if not torch.equal(after[name], before[name])}


def spelled(dialect: str, down: Tensor, up: Tensor, alpha: float) -> dict[str, Tensor]:
    """Image queries, keys and values of block 1, as each dialect writes them at the same strength."""
    scaled, parts = up * (alpha / RANK), up.chunk(3)
    match dialect:
        case "diffusers" | "peft" | "expanded":
            start = {"diffusers": "transformer.", "peft": "base_model.model.", "expanded": "diffusion_model."}[dialect]
            found: dict[str, Tensor] = {}
            for name, part in zip("qkv", scaled.chunk(3), strict=True):
                stem = f"{start}transformer_blocks.1.attn.to_{name}"
                found |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": part}
            return found
        case "bfl":
            stem = "diffusion_model.double_blocks.1.img_attn.qkv"
            return {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": scaled}
        case "kohya":
            stem = "lora_unet_double_blocks_1_img_attn_qkv"
            halves = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
            return halves | {f"{stem}.alpha": torch.tensor(alpha)}
        case "xlabs":
            stem = "double_blocks.1.processor.qkv_lora1"
            return {f"{stem}.down.weight": down, f"{stem}.up.weight": scaled}
        case "onetrainer":
            found = {}
            for name, part in zip("qkv", parts, strict=True):
                stem = f"lora_transformer_transformer_blocks_1_attn_to_{name}"
                found |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": part}
                found[f"{stem}.alpha"] = torch.tensor(alpha)
            return found
        case _:
            found = {}
            for index, part in enumerate(parts):
                stem = f"transformer.double_blocks.1.img_attn.qkv.{index}"
                found |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": part}
                found[f"{stem}.alpha"] = torch.tensor(alpha)
            return found


@pytest.mark.parametrize(
    "dialect", ["diffusers", "peft", "expanded", "bfl", "kohya", "xlabs", "onetrainer", "onetrainer-bfl"]
)
def test_every_dialect_makes_the_same_change(transformer: nn.Module, tmp_path: Path, dialect: str) -> None:
    down, up = pair(3 * WIDTH)
    # xlabs exists for FLUX.1 only, but names the same layers
    changed = merged(transformer, tmp_path / "a.safetensors", spelled(dialect, down, up, alpha=6.0))
    assert changed.keys() == {f"transformer_blocks.1.attn.to_{name}.weight" for name in "qkv"}
    want = 0.5 * 2 * (up @ down)
    for name, part in zip("qkv", want.chunk(3), strict=True):
        got = changed[f"transformer_blocks.1.attn.to_{name}.weight"]
        torch.testing.assert_close(got, part, rtol=1e-4, atol=1e-4)


def test_a_lokr_is_merged(transformer: nn.Module, tmp_path: Path) -> None:
    first, second = torch.randn(8, 4), torch.randn(8, 16)
    stem = "lycoris_transformer_blocks_0_attn_to_out_0"
    tensors = {f"{stem}.lokr_w1": first, f"{stem}.lokr_w2": second}
    changed = merged(transformer, tmp_path / "a.safetensors", tensors)
    got = changed["transformer_blocks.0.attn.to_out.0.weight"]
    torch.testing.assert_close(got, 0.5 * torch.kron(first, second), rtol=1e-4, atol=1e-4)


def test_a_dora_is_what_peft_merges(tmp_path: Path) -> None:
    """The magnitude rescales each output of W + s B A; at half weight half of the difference acts."""
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 4, bias=False)

    block = Block()
    base = block.first.weight.detach().clone()
    peft: Any = get_peft_model(block, LoraConfig(r=2, lora_alpha=6, target_modules=["first"], use_dora=True))
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.rand_like(parameter) + 0.5)
    state = {key: value.clone() for key, value in get_peft_model_state_dict(peft).items()}
    trained = peft.merge_and_unload().first.weight.detach()
    fresh = Block()
    with torch.no_grad():
        fresh.first.weight.copy_(base)
    text = '{"transformer.r": 2, "transformer.lora_alpha": 6}'
    changed = merged(fresh, tmp_path / "d.safetensors", state, lora_adapter_metadata=text)
    torch.testing.assert_close(changed["first.weight"], 0.5 * (trained - base), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (
            {
                "transformer.single_transformer_blocks.0.proj_mlp.lora_A.weight": torch.ones(2, 3072),
                "transformer.single_transformer_blocks.0.proj_mlp.lora_B.weight": torch.ones(12288, 2),
            },
            ["0 of 2", "made for FLUX.1,", "FLUX.2 of width 64"],
        ),
        (
            {
                "transformer.transformer_blocks.0.ff.linear_in.lora_A.weight": torch.ones(2, 4096),
                "transformer.transformer_blocks.0.ff.linear_in.lora_B.weight": torch.ones(24576, 2),
            },
            ["24576 x 4096", "FLUX.2 [klein] 9B", "FLUX.2 of width 64"],
        ),
    ],
)
def test_another_model_is_named(
    transformer: nn.Module, tmp_path: Path, tensors: dict[str, Tensor], words: list[str]
) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ModelError) as caught:
        AdapterMerger(transformer).apply([AdapterFile(tmp_path / "a.safetensors", "a", 1.0)])
    for word in words:
        assert word in str(caught.value)


def test_one_layer_under_two_names_is_refused(transformer: nn.Module, tmp_path: Path) -> None:
    down, up = pair(WIDTH)
    tensors: dict[str, Tensor] = {}
    for stem in ("transformer.transformer_blocks.0.attn.to_q", "base_model.model.transformer_blocks.0.attn.to_q"):
        tensors |= {f"{stem}.lora_A.weight": down.clone(), f"{stem}.lora_B.weight": up.clone()}
    tensors |= {
        "lora_transformer_transformer_blocks_0_attn_to_q.lora_down.weight": down.clone(),
        "lora_transformer_transformer_blocks_0_attn_to_q.lora_up.weight": up.clone(),
    }
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="twice"):
        AdapterMerger(transformer).apply([AdapterFile(tmp_path / "a.safetensors", "a", 1.0)])
