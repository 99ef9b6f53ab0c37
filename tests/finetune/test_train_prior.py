"""Prior preservation: regularisation pictures hold the adapter to what the base answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import torch

from finetune.adapters import attach, read_state
from finetune.batch import Batch
from finetune.checkpoint import load_checkpoint
from finetune.config import AdapterConfig
from finetune.data import Item, read_dataset
from finetune.families import TRAIN_FAMILIES
from finetune.features import is_prior
from finetune.objective import flow_losses, noisy_latents
from finetune.prior import with_prior, without_adapter
from tests.finetune.test_train_objective import make, tiny
from tests.finetune.training import losses, picture, put, run, small, write_pictures
from workbench.models import ModelCatalog
from workbench.models.families import FAMILIES

if TYPE_CHECKING:
    from tests.conftest import TinyKlein

FAMILY = TRAIN_FAMILIES["flux2-klein"]


def prepared(kind: str = "lora") -> tuple[torch.nn.Module, list[torch.nn.Parameter], Batch, torch.Tensor]:
    """A tiny transformer with an adapter that changes it, a batch, and what the bare base answers."""
    model = tiny("flux2-klein")
    batch, _ = make("flux2-klein", 1)
    with torch.no_grad():
        noisy = noisy_latents(batch.clean, batch.noise, batch.sigma)
        answer = FAMILY.velocity(model, noisy, batch.sigma, batch, 1.0)
    parameters = attach(model, AdapterConfig.model_validate({"kind": kind, "rank": 2}), FAMILY.blocks, 0)
    with torch.no_grad():
        for place, parameter in enumerate(parameters):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place)))
    return model, parameters, replace(batch, prior=(True, False)), answer


def test_the_target_of_a_prior_example_is_the_base_answer() -> None:
    for kind in ("lora", "dora", "lokr"):
        model, parameters, batch, answer = prepared(kind)
        before = read_state(model)
        target = with_prior(FAMILY, model, batch).target
        assert target is not None
        torch.testing.assert_close(target[0], answer[0], rtol=1e-5, atol=1e-6)
        assert torch.equal(target[1], batch.noise[1] - batch.clean[1])
        assert all(parameter.requires_grad for parameter in parameters)
        assert all(torch.equal(value, before[key]) for key, value in read_state(model).items())
        with torch.no_grad():
            noisy = noisy_latents(batch.clean, batch.noise, batch.sigma)
            assert not torch.allclose(FAMILY.velocity(model, noisy, batch.sigma, batch, 1.0), answer, atol=1e-3)
            with without_adapter(model):
                torch.testing.assert_close(FAMILY.velocity(model, noisy, batch.sigma, batch, 1.0), answer)


def test_an_adapter_that_changes_nothing_has_no_loss_on_the_prior() -> None:
    model = tiny("flux2-klein")
    batch, _ = make("flux2-klein", 0)
    attach(model, AdapterConfig(rank=2), FAMILY.blocks, 0)
    marked = with_prior(FAMILY, model, replace(batch, prior=(False, True)))
    first, second = flow_losses(FAMILY, model, marked)
    plain, other = flow_losses(FAMILY, model, batch)
    assert torch.equal(
        with_prior(FAMILY, model, replace(batch, prior=(False, True)), weight=3.0).weight, torch.tensor([1.0, 3.0])
    )
    assert float(other.detach()) > 0.1
    assert float(second.detach()) < 1e-10
    assert float(first.detach()) == float(plain.detach())
    assert with_prior(FAMILY, model, batch) is batch


def test_a_run_is_held_to_the_base_by_its_regularisation_pictures(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "squares", count=4)
    for number in range(4):
        put(data / "reg" / f"{number}.png", picture(number, (64, 64)), "noise")
    catalog = ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")
    prior, pictures = (
        run(small(data, name=name, steps=6, checkpoint_every=6, prior=name), catalog) for name in ("base", "pictures")
    )
    one, two = (load_checkpoint(folder.checkpoint(6)).adapter for folder in (prior, pictures))
    assert any(not torch.equal(value, two[key]) for key, value in one.items())
    assert sum(loss for _, loss in losses(prior)) < sum(loss for _, loss in losses(pictures))


def test_a_dropped_caption_is_held_to_the_base() -> None:
    """Otherwise the answer to no caption learns the concept, and guidance takes it away again."""
    dataset = cast("Any", SimpleNamespace)
    own, plain = (dataset(regularisation=some, caption="a wug", references=()) for some in (False, True))
    edit = dataset(regularisation=False, caption="swap", references=("a part",))
    uncaptioned = dataset(regularisation=False, caption="", references=())
    items = [
        Item(own, "a wug", 0),
        Item(own, "", 0),
        Item(plain, "a wug", 0),
        Item(uncaptioned, "", 0),
        Item(edit, "", 0),
    ]
    assert [is_prior(item) for item in items] == [False, True, True, False, False]


def test_repeats_are_those_of_the_concept(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "squares", count=2)
    put(data / "reg" / "0.png", picture(0, (64, 64)), "noise")
    config = small(data, data={"path": str(data), "resolutions": [64], "repeats": 5}).data
    dataset = read_dataset(config, FAMILIES["flux2-klein-nano"])
    assert {each.id: each.repeats for each in dataset.examples} == {
        "squares/0.png": 5, "squares/1.png": 5, "squares/reg/0.png": 1,
    }  # fmt: skip
