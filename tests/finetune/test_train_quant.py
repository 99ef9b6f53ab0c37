"""A base of fewer bits: the numbers of the engine's own packing, right gradients, and runs on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from finetune.adapters import attach
from finetune.checkpoint import load_checkpoint
from finetune.config import AdapterConfig, Quant, TrainConfigError
from finetune.families import TRAIN_FAMILIES
from finetune.objective import flow_losses
from finetune.quantise import FrozenPacked, quantise_base
from tests.finetune.test_train_objective import make, tiny
from tests.finetune.training import losses, run, small, write_pictures
from workbench.models import ModelCatalog
from workbench.models.quantise import pack

if TYPE_CHECKING:
    from tests.conftest import TinyKlein

KINDS: tuple[Quant, ...] = ("int8", "fp8", "nf4")
FAMILY = TRAIN_FAMILIES["flux2-klein"]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_gradients_are_those_of_the_rounded_weights(kind: Quant) -> None:
    """Against a model whose weights were rounded before and stand whole."""
    batch, _ = make("flux2-klein", 1)
    found = []
    for packed in (True, False):
        model = tiny("flux2-klein")
        trained = attach(model, AdapterConfig(rank=2), FAMILY.blocks, 0)
        with torch.no_grad():
            for place, parameter in enumerate(trained):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place)))
        if packed:
            count = quantise_base(model, kind, torch.float32)
            assert sum(isinstance(layer, FrozenPacked) for layer in model.modules()) == count == 14
        else:
            for name, weight in model.named_parameters():
                if name.endswith("base_layer.weight"):
                    weight.data = pack(weight.data, kind).dense()  # type: ignore[arg-type]  # not none
        loss = flow_losses(FAMILY, model, batch).mean()
        loss.backward()
        found.append((loss.detach(), [parameter.grad for parameter in trained]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-6, atol=0)
    for one, two in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def test_nothing_whole_is_kept_for_the_backward_pass() -> None:
    kept = {}
    for kind in ("none", "int8"):
        model = tiny("flux2-klein")
        attach(model, AdapterConfig(rank=2), FAMILY.blocks, 0)
        quantise_base(model, kind, torch.float32)
        saved: dict[int, int] = {}

        def keep(value: torch.Tensor, saved: dict[int, int] = saved) -> torch.Tensor:
            saved[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            loss = flow_losses(FAMILY, model, make("flux2-klein", 0)[0]).mean()
        kept[kind] = sum(saved.values())
        del loss
    weights = sum(layer.weight.nbytes for name, layer in tiny("flux2-klein").named_modules()
                  if "blocks." in name and isinstance(layer, torch.nn.Linear) and ".norm" not in name)  # fmt: skip
    assert kept["int8"] < kept["none"] - weights / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_fewer_bits(tiny_klein: TinyKlein, tmp_path: Path, kind: Quant) -> None:
    catalog = ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")
    folder = run(small(write_pictures(tmp_path / "data"), steps=4, quant=kind), catalog)
    assert folder.status().state == "finished"
    assert all(loss > 0 for _, loss in losses(folder))
    first, last = (load_checkpoint(folder.checkpoint(step)).adapter for step in (2, 4))
    assert all(value.dtype == torch.float32 for value in last.values())
    assert all(not torch.equal(value, first[key]) for key, value in last.items())


def test_an_adapter_that_needs_the_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainConfigError, match="dora needs whole weights"):
        small(tmp_path, quant="int8", adapter={"kind": "dora", "rank": 4})
