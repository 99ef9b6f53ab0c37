"""LoRA merging: exact removal, the same effect as peft, and sentences for files that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.conftest import TinyKlein, write_adapter
from workbench.errors import ModelError
from workbench.models.adapters import AdapterFile, AdapterMerger
from workbench.models.catalog import ModelCatalog
from workbench.models.loading import load


class Block(nn.Module):
    """Two layers with dotted names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 4, bias=False)
        self.second = nn.Linear(4, 3, bias=False)


def save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> AdapterFile:
    save_file(tensors, path, metadata)
    return AdapterFile(path, str(sorted(tensors)), 1.0)


def pair(name: str, out_features: int, in_features: int, rank: int = 2) -> dict[str, Tensor]:
    return {
        f"transformer.{name}.lora_A.weight": torch.randn(rank, in_features),
        f"transformer.{name}.lora_B.weight": torch.randn(out_features, rank),
    }


def test_merges_as_the_formula_says(tmp_path: Path) -> None:
    block = Block()
    base = block.first.weight.clone()
    tensors = pair("first", 4, 6) | {"transformer.first.alpha": torch.tensor(8.0)}
    file = save(tmp_path / "a.safetensors", tensors)
    other = save(tmp_path / "b.safetensors", pair("first", 4, 6, rank=1))
    merger = AdapterMerger(block)
    merger.apply([AdapterFile(file.path, "a", 0.5), AdapterFile(other.path, "b", -2.0)])
    product = [
        kept["transformer.first.lora_B.weight"] @ kept["transformer.first.lora_A.weight"]
        for kept in (tensors, load_file(other.path))
    ]
    torch.testing.assert_close(block.first.weight, base + 0.5 * (8 / 2) * product[0] - 2.0 * product[1])


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 1.0),
        ({"transformer.lora_alpha": 6, "transformer.r": 2}, 3.0),
        ({"transformer.lora_alpha": 6, "transformer.use_rslora": True}, 6 / 2**0.5),
        ({"transformer.lora_alpha": 6, "transformer.alpha_pattern": {"first": 10}}, 5.0),
    ],
)
def test_alpha_from_the_metadata_of_diffusers(tmp_path: Path, settings: dict[str, object], scale: float) -> None:
    block = Block()
    base = block.first.weight.clone()
    tensors = pair("first", 4, 6)
    file = save(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": json.dumps(settings)})
    AdapterMerger(block).apply([file])
    product = tensors["transformer.first.lora_B.weight"] @ tensors["transformer.first.lora_A.weight"]
    torch.testing.assert_close(block.first.weight, base + scale * product)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_base_is_bit_equal_after_many_swaps(tiny_catalog: ModelCatalog, precision: str) -> None:
    parts = load(tiny_catalog.model("tiny-base"), precision, torch.device("cpu"))  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in parts.transformer.state_dict().items()}
    plain, scaled = (tiny_catalog.adapter_path(name) for name in ("plain", "scaled"))
    for round_number in range(10):
        parts.adapters.apply([AdapterFile(plain, "p", 0.7 + round_number)])
        parts.adapters.apply([AdapterFile(scaled, "s", 1.3), AdapterFile(plain, "p", -0.4)])
    changed = parts.transformer.state_dict()
    assert any(not torch.equal(changed[name], value) for name, value in before.items())
    parts.adapters.apply([])
    assert all(torch.equal(parts.transformer.state_dict()[name], value) for name, value in before.items())


def test_a_file_that_does_not_fit_leaves_the_base(tiny_catalog: ModelCatalog, tmp_path: Path) -> None:
    block = Block()
    base = block.first.weight.clone()
    good = save(tmp_path / "good.safetensors", pair("first", 4, 6))
    bad = save(tmp_path / "bad.safetensors", pair("third", 4, 6))
    merger = AdapterMerger(block)
    merger.apply([good])
    with pytest.raises(ModelError):
        merger.apply([good, bad])
    assert torch.equal(block.first.weight, base)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (pair("third", 4, 6), ["0 of 2", "transformer.third.lora_A.weight"]),
        ({"lora_unet_third.lora_down.weight": torch.zeros(2, 6)}, ["0 of 1", "lora_unet_third"]),
        (pair("first", 5, 6), ["5 x 6", "4 x 6"]),
        ({"transformer.first.lora_A.weight": torch.zeros(2, 6)}, ["half"]),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path: Path, tensors: dict[str, Tensor], words: list[str]) -> None:
    file = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(ModelError) as caught:
        AdapterMerger(Block()).apply([file])
    for word in words:
        assert word in str(caught.value)


def test_keys_of_other_parts_are_listed(tmp_path: Path) -> None:
    block = Block()
    base = block.first.weight.clone()
    file = save(tmp_path / "a.safetensors", pair("first", 4, 6) | {"text_encoder.x.lora_A.weight": torch.zeros(1)})
    merger = AdapterMerger(block)
    merger.apply([file])
    (report,) = merger.reports
    assert (report.layers, report.applied, report.keys) == (1, 2, 3)
    assert report.unmatched == ("text_encoder.x.lora_A.weight",)
    assert "2 of its 3 keys" in merger.warnings[0]
    assert not torch.equal(block.first.weight, base)
    merger.apply([])
    assert not merger.warnings


def test_an_adapter_of_another_size(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.safetensors", tiny_klein.base, rank=2, seed=0)
    with pytest.raises(ModelError, match="does not fit"):
        AdapterMerger(Block()).apply([AdapterFile(path, "a", 1.0)])
