"""A base of fewer bits: what is refused, and runs on it where the packages are there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from finetune.checkpoint import load_checkpoint
from finetune.config import Quant, TrainConfigError
from finetune.families import TRAIN_FAMILIES
from finetune.objective import flow_losses
from finetune.quantise import PACKAGES, quantise
from tests.finetune.test_train_objective import make, tiny
from tests.finetune.training import losses, run, small, write_pictures
from workbench.models import ModelCatalog

if TYPE_CHECKING:
    from tests.conftest import TinyKlein

KINDS: tuple[Quant, ...] = ("int8", "nf4")


def absent(kind: Quant) -> bool:
    return importlib.util.find_spec(PACKAGES[kind]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_package_it_is_refused(tiny_klein: TinyKlein, tmp_path: Path, kind: Quant) -> None:
    if not absent(kind):
        pytest.skip(f"{PACKAGES[kind]} is installed")
    catalog = ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")
    with pytest.raises(TrainConfigError, match=f"needs the package {PACKAGES[kind]}"):
        run(small(write_pictures(tmp_path / "data"), quant=kind), catalog)


def test_an_adapter_that_needs_the_weights_is_refused(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    catalog = ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")
    with pytest.raises(TrainConfigError, match="needs the base's own weights"):
        run(small(write_pictures(tmp_path / "data"), quant="int8", adapter={"kind": "dora", "rank": 4}), catalog)


@pytest.mark.filterwarnings("ignore")  # of packages that are no part of the product
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_fewer_bits(tiny_klein: TinyKlein, tmp_path: Path, kind: Quant) -> None:
    if absent(kind):
        pytest.skip(f"{PACKAGES[kind]} is not installed")
    catalog = ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")
    data = write_pictures(tmp_path / "data")
    whole, rounded = (run(small(data, name=name, steps=6, quant=name), catalog) for name in ("none", kind))
    for (_, one), (_, two) in zip(losses(whole), losses(rounded), strict=True):
        assert two != one
        assert two == pytest.approx(one, rel=0.1)
    first, last = (load_checkpoint(rounded.checkpoint(step)).adapter for step in (2, 6))
    assert all(value.dtype == torch.float32 for value in last.values())
    assert all(not torch.equal(value, first[key]) for key, value in last.items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_only_blocks_are_rounded_and_answers_stay_close(kind: Quant) -> None:
    if absent(kind):
        pytest.skip(f"{PACKAGES[kind]} is not installed")
    family, model = TRAIN_FAMILIES["flux2-klein"], tiny("flux2-klein")
    batch, _ = make("flux2-klein", 1)
    with torch.no_grad():
        exact = flow_losses(family, model, batch)
        outside = model.get_submodule("x_embedder").weight.clone()  # type: ignore[operator]
        quantise(model, family, kind, torch.float32)
        assert torch.equal(model.get_submodule("x_embedder").weight, outside)  # type: ignore[arg-type]
        torch.testing.assert_close(flow_losses(family, model, batch), exact, rtol=0.2, atol=0)
    block = model.get_submodule("single_transformer_blocks.0.attn.to_out")
    assert type(block.weight) not in (nn.Parameter, torch.Tensor) or type(block) is not nn.Linear
