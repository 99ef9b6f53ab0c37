"""The shorter pass of LoRA layers gives what peft's own pass gives, with its gradients."""

from __future__ import annotations

import pytest
import torch
from peft import inject_adapter_in_model
from peft.tuners.lora import Linear
from torch import nn

from finetune.adapters import attach, peft_config, read_state, write_state
from finetune.config import AdapterConfig
from finetune.families import TRAIN_FAMILIES
from finetune.lean import LeanLora
from finetune.objective import flow_losses
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
