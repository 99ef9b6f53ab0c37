"""The shorter pass of LoRA layers gives what peft's own pass gives, with its gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import inject_adapter_in_model
from peft.tuners.lora import Linear
from torch import nn

from finetune.adapters import attach, peft_config, read_state, write_state
from finetune.config import AdapterConfig
from finetune.families import TRAIN_FAMILIES
from finetune.lean import KEPT, LeanLora, make_lean
from finetune.objective import flow_losses
from finetune.passes import compile_blocks
from tests.finetune.test_train_objective import make, tiny

FAMILY = TRAIN_FAMILIES["flux2-klein"]


def layers(model: nn.Module, kind: type) -> int:
    return sum(type(layer) is kind for layer in model.modules())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_loss_and_gradients_are_those_of_peft(dtype: torch.dtype, tolerance: float) -> None:
    config = AdapterConfig(rank=4, alpha=6.0)
    ours, theirs = tiny("flux2-klein").to(dtype), tiny("flux2-klein").to(dtype)
    trained = attach(ours, config, FAMILY.blocks, 0)
    inject_adapter_in_model(peft_config(config, FAMILY.blocks), theirs, adapter_name="default")
    assert layers(ours, LeanLora) == layers(theirs, Linear) == 14  # 12 of the double block, 2 of the single one
    with torch.no_grad():
        for place, parameter in enumerate(trained):
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place)))
    state = read_state(ours)
    write_state(theirs, state)
    for name, parameter in theirs.named_parameters():
        parameter.requires_grad_("lora_" in name)
    batch = make("flux2-klein", 1)[0].to(torch.device("cpu"), dtype)
    found = []
    for model in (ours, theirs):
        loss = flow_losses(FAMILY, model, batch, dtype=dtype).mean()
        loss.backward()
        gradients = [
            parameter.grad.float() for name, parameter in model.named_parameters() if parameter.grad is not None
        ]
        found.append((loss.detach(), gradients))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=tolerance, atol=0)
    for one, two in zip(found[0][1], found[1][1], strict=True):
        assert float((one - two).norm() / two.norm()) < tolerance


def test_layers_with_more_than_a_product_keep_their_own_pass() -> None:
    for values in ({"rank": 2, "dropout": 0.1}, {"rank": 2, "kind": "dora"}, {"rank": 2, "kind": "lokr"}):
        model = tiny("flux2-klein")
        attach(model, AdapterConfig.model_validate(values), FAMILY.blocks, 0)
        assert layers(model, LeanLora) == 0


def test_positions_are_embedded_once() -> None:
    model: Any = tiny("flux2-klein")
    embed = model.pos_embed
    ids = torch.tensor([[0, 1, 2, 0], [0, 1, 3, 0]])
    wanted = embed(ids)
    make_lean(model)
    first, again = model.pos_embed(ids), model.pos_embed(ids)
    assert first[0] is again[0]
    assert all(torch.equal(one, two) for one, two in zip(first, wanted, strict=True))
    other = model.pos_embed(ids + 1)
    assert not torch.equal(other[0], first[0])
    for _ in range(2 * KEPT):
        model.pos_embed(ids.clone())
    assert len(model.pos_embed._kept) == KEPT  # what is not used again goes


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of torch's own tracing
def test_compiled_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as torch compiles, and run without a compiler, which not every machine has."""
    monkeypatch.setattr("finetune.passes.COMPILER", "eager")
    model, losses, gradients = tiny("flux2-klein"), [], []
    trained = attach(model, AdapterConfig(rank=2), FAMILY.blocks, 0)
    batch = make("flux2-klein", 1)[0]
    for wanted in (False, True):
        compile_blocks(model, wanted=wanted)
        loss = flow_losses(FAMILY, model, batch).mean()
        gradients.append(torch.autograd.grad(loss, trained, allow_unused=True))
        losses.append(loss.detach())
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=0)
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0  # something was compiled
    torch.compiler.reset()
