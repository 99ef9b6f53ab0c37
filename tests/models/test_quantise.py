"""Weights in fewer bits: errors within their bounds, nf4 as bitsandbytes keeps it, exact rows, adapters on top."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from workbench.errors import ModelError
from workbench.models.adapters import AdapterFile
from workbench.models.catalog import ModelCatalog
from workbench.models.loading import load
from workbench.models.quantise import NF4, Method, Packed, PackedLinear, pack, quantise

METHODS: list[Method] = ["int8", "fp8", "nf4"]


@pytest.mark.parametrize(
    # int8: half a step of 1/127 of a row's largest; fp8: half a step of 3 bits; nf4: half the widest gap of its table
    ("method", "bound"), [("int8", 0.5 / 127), ("fp8", 1 / 16), ("nf4", (1.0 - 0.6961928009986877) / 2)]
)  # fmt: skip
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e4]))
def test_errors_stay_within_half_a_step(method: Method, bound: float, seed: int, scale: float) -> None:
    weight = torch.randn(6, 128, generator=torch.Generator().manual_seed(seed)) * scale
    kept = pack(weight, method).dense()
    largest = (
        weight.abs().amax(dim=1, keepdim=True)
        if method != "nf4"
        else weight.view(-1, 64).abs().amax(dim=1).repeat_interleave(64).view(6, 128)
    )
    assert ((kept - weight).abs() <= bound * 1.001 * largest).all()


@pytest.mark.parametrize("method", METHODS)
def test_zeros_stay_zeros_and_what_is_kept_packs_to_itself(method: Method) -> None:
    assert torch.equal(pack(torch.zeros(2, 64), method).dense(), torch.zeros(2, 64))
    once = pack(torch.randn(4, 64), method).dense()
    torch.testing.assert_close(pack(once, method).dense(), once, rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_a_packed_matrix_are_the_rows_of_the_whole(method: Method) -> None:
    packed = pack(torch.randn(12, 128), method)
    assert torch.equal(packed.rows(3, 7).dense(), packed.dense()[3:7])
    assert packed.rows(3, 7).shape == (4, 128)


def test_bytes_are_as_few_as_promised() -> None:
    weight = torch.randn(256, 256)
    whole = weight.nbytes
    assert [round(whole / pack(weight, method).nbytes, 1) for method in METHODS] == [3.9, 3.9, 7.1]


def test_nf4_is_that_of_bitsandbytes() -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(1))
    theirs, state = functional.quantize_4bit(weight, quant_type="nf4", blocksize=64)
    ours = pack(weight, "nf4")
    assert (ours.data == theirs.flatten()).float().mean() > 0.999  # ties between two values may fall either way
    read = Packed("nf4", (64, 128), theirs.flatten(), state.absmax)
    torch.testing.assert_close(read.dense(), functional.dequantize_4bit(theirs, state), rtol=0, atol=1e-6)


def test_nf4_packs_the_first_value_into_the_high_half() -> None:
    weight = torch.tensor([NF4[3], NF4[12], 1.0, *[0.0] * 61]).view(1, 64)
    data = pack(weight, "nf4").data
    assert data[:2].tolist() == [3 << 4 | 12, 15 << 4 | 7]


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(ModelError, match="not made of blocks of 64"):
        pack(torch.randn(3, 7), "nf4")
    with pytest.raises(ModelError, match="cannot be split"):
        pack(torch.randn(4, 32), "nf4").rows(0, 1)
    with pytest.raises(ModelError, match="as gguf"):
        pack(torch.randn(4, 32), "gguf")


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(64, 64)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(64, 64)), nn.Sequential(nn.Linear(64, 96, bias=False))])


def test_only_the_linear_layers_of_blocks_are_packed() -> None:
    model = Model()
    assert quantise(model, "int8", torch.float32) == 2
    assert isinstance(model.embed, nn.Linear)
    layer = model.blocks[0].get_submodule("0")
    assert isinstance(layer, PackedLinear)
    values = torch.randn(3, 64)
    assert layer.bias is not None
    torch.testing.assert_close(layer(values), values @ layer.packed.dense().T + layer.bias)
    assert layer(values.bfloat16()).dtype == torch.bfloat16
    model.to(torch.bfloat16)  # as loaders do: packed data keep their types
    assert layer.data.dtype == torch.int8
    assert layer.scale is not None
    assert layer.scale.dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_adapters_act_on_packed_weights_and_leave_no_trace(tiny_catalog: ModelCatalog, method: Method) -> None:
    parts = load(tiny_catalog.model("tiny-base"), "float32", torch.device("cpu"), quantisation=method)  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in parts.transformer.state_dict().items()}
    layer = parts.transformer.get_submodule("transformer_blocks.0.attn.to_q")
    assert isinstance(layer, PackedLinear)
    values = torch.randn(1, layer.in_features)
    plain = layer(values)
    file = AdapterFile(tiny_catalog.adapter_path("plain"), "plain", 1.0)
    whole = load(tiny_catalog.model("tiny-base"), "float32", torch.device("cpu"))
    base = whole.transformer.get_submodule("transformer_blocks.0.attn.to_q")
    unchanged = base(values)
    whole.adapters.apply([file])
    parts.adapters.apply([file])
    torch.testing.assert_close(layer(values) - plain, base(values) - unchanged, rtol=1e-3, atol=1e-4)
    parts.adapters.apply([])
    assert torch.equal(layer(values), plain)
    after = parts.transformer.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
