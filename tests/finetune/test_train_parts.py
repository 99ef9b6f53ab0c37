"""Parts of the trainer on their own: caches, noise levels, learning rates, state of optimisers, configurations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from finetune.cache import FeatureCache, feature_key
from finetune.checkpoint import Checkpoint, flatten, load_checkpoint, save_checkpoint, unflatten
from finetune.config import TimestepConfig, TimestepKind, TrainConfig, TrainConfigError
from finetune.data import DataConfig
from finetune.data.example import with_trigger
from finetune.optim import clip_gradients, learning_rate, make_optimiser
from finetune.preview import default_prompts, without_trigger
from finetune.runfolder import RunFolder
from finetune.sampling import draw_sigma, fixed_levels, generator, shift_mu
from tests.finetune.training import run, small, write_pictures
from workbench.models import ModelCatalog

if TYPE_CHECKING:
    from tests.conftest import TinyKlein

MINIMAL = {"model": "klein-nano-base", "data": "photos"}


def test_features_are_made_once_and_again_when_damaged(tmp_path: Path) -> None:
    value = {"clean": torch.arange(6.0).view(2, 3), "mask": torch.ones(2, dtype=torch.bfloat16)}
    key = feature_key("picture", "vae", "pixels")
    first = FeatureCache(tmp_path)
    first.get_or_make(key, lambda: value)
    second = FeatureCache(tmp_path)  # another process
    found = second.get(key)
    assert found is not None
    assert all(torch.equal(found[name], value[name]) for name in value)
    (file,) = tmp_path.rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # one bit of one value
    file.write_bytes(bytes(data))
    third = FeatureCache(tmp_path)
    assert third.get(key) is None
    third.get_or_make(key, lambda: value)
    assert third.made == 1
    assert FeatureCache(tmp_path).get(key) is not None


def test_a_small_memory_reads_again_from_disk(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, limit=100)
    for number in range(5):
        cache.get_or_make(feature_key("x", number), lambda number=number: {"x": torch.full((20,), float(number))})  # type: ignore[misc]
    for number in range(5):
        found = cache.get(feature_key("x", number))
        assert found is not None
        assert float(found["x"][0]) == number


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.integers(0, 4096))
def test_draws_depend_on_seed_step_and_place_alone(seed: int, step: int, place: int) -> None:
    one, two = (torch.randn(4, generator=generator(seed, "noise", step, place)) for _ in range(2))
    assert torch.equal(one, two)
    for other in (generator(seed, "noise", step + 1, place), generator(seed, "noise", step, place + 1)):
        assert not torch.equal(one, torch.randn(4, generator=other))


KINDS: tuple[TimestepKind, ...] = ("logit_normal_shift", "logit_normal", "uniform", "mode", "shift")


@pytest.mark.parametrize("kind", KINDS)
def test_noise_levels_follow_their_density(kind: TimestepKind) -> None:
    """Against the inverse of each map, by the mean of 4,000 draws."""
    config, random = TimestepConfig(kind=kind), generator(0, kind)
    drawn = torch.stack([draw_sigma(config, 4096, random) for _ in range(4000)])
    assert float(drawn.min()) > 0
    assert float(drawn.max()) < 1
    unit = (torch.arange(100_000) + 0.5) / 100_000
    normal = torch.sigmoid(torch.distributions.Normal(0, 1).icdf(unit))

    def shifted(factor: float) -> torch.Tensor:
        return factor / (factor + 1 / normal - 1)

    wanted = {
        "uniform": unit,
        "logit_normal": normal,
        "logit_normal_shift": shifted(math.exp(1.15)),
        "shift": shifted(3.0),
        "mode": 1 - unit - 1.29 * (torch.cos(math.pi * unit / 2) ** 2 - 1 + unit),
    }[kind]
    assert float(drawn.mean()) == pytest.approx(float(wanted.mean()), abs=0.015)
    assert float(drawn.std()) == pytest.approx(float(wanted.std()), abs=0.015)


def test_the_shift_is_that_of_the_schedule() -> None:
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    for tokens in (64, 256, 1024, 4096, 9216):
        assert shift_mu(tokens) == pytest.approx(calculate_shift(tokens, 256, 4096, 0.5, 1.15))
    assert fixed_levels(4) == [0.125, 0.375, 0.625, 0.875]


def test_learning_rates() -> None:
    def rates(**changes: Any) -> list[float]:
        config = TrainConfig.parse(MINIMAL | {"steps": 100, "optimiser": {"learning_rate": 1.0}} | changes)
        return [learning_rate(config, step) for step in range(1, 101)]

    constant = rates(schedule={"warmup": 10})
    assert constant[0] == pytest.approx(0.1)
    assert constant[9:] == [1.0] * 91
    cosine = rates(schedule={"kind": "cosine", "warmup": 10})
    assert cosine[10] == 1.0
    assert cosine[55] == pytest.approx(0.5)
    assert cosine == sorted(cosine[:10]) + sorted(cosine[10:], reverse=True)
    assert rates(schedule={"kind": "linear", "warmup": 0})[50] == pytest.approx(0.5)
    assert TrainConfig.parse(MINIMAL | {"steps": 50}).warmup == 5


@pytest.mark.parametrize("largest", [0.5, 1e3])
def test_gradients_are_clipped_as_torch_does(largest: float) -> None:
    def parameters() -> list[nn.Parameter]:
        made = [nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(1))]
        for place, each in enumerate(made[:2]):
            each.grad = torch.randn(each.shape, generator=generator(0, "gradient", place))
        return made

    ours, theirs = parameters(), parameters()
    norm = clip_gradients(ours, largest)
    assert torch.equal(norm, nn.utils.clip_grad_norm_(theirs, largest))
    assert ours[2].grad is None
    for one, two in zip(ours[:2], theirs[:2], strict=True):
        assert one.grad is not None
        assert two.grad is not None
        assert torch.equal(one.grad, two.grad)


def test_a_checkpoint_before_the_first_step_can_be_read(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.ones(2))
    state = make_optimiser(TrainConfig.parse(MINIMAL).optimiser, [weight]).state_dict()
    written = save_checkpoint(RunFolder(tmp_path), Checkpoint(0, {"a": torch.ones(2)}, {}, state, {}, {}))
    read = load_checkpoint(written)
    assert read.optimiser["state"] == {}
    assert read.average == {}
    make_optimiser(TrainConfig.parse(MINIMAL).optimiser, [weight]).load_state_dict(read.optimiser)


def test_the_state_of_an_optimiser_survives_files() -> None:
    def fresh() -> tuple[nn.Parameter, torch.optim.Optimizer]:
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(3, 2))
        return weight, make_optimiser(TrainConfig.parse(MINIMAL).optimiser, [weight])

    def steps(weight: nn.Parameter, optimiser: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            (weight**2).sum().backward()
            optimiser.step()
            optimiser.zero_grad()

    whole, optimiser = fresh()
    steps(whole, optimiser, 6)
    part, first = fresh()
    steps(part, first, 3)
    other, second = fresh()
    with torch.no_grad():
        other.copy_(part)
    second.load_state_dict(unflatten(*flatten(first.state_dict())))
    steps(other, second, 3)
    assert torch.equal(other, whole)


def test_a_configuration_survives_yaml(tmp_path: Path) -> None:
    config = TrainConfig.parse(
        MINIMAL
        | {"adapter": {"rank": 8, "rank_pattern": {"attn.to_q": 4}}, "previews": {"every": 5, "prompts": ["a", "b: c"]}}
    )
    path = tmp_path / "run.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert TrainConfig.load(path) == config
    assert config.run_name == "photos"
    for wrong in ("- a list", "model: [", "model: x\ndata: y\nsteps: 0\n"):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(TrainConfigError):
            TrainConfig.load(path)


def test_one_picture_is_learned(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    """The held-out loss, on a near copy of the one training picture at fixed noise, falls by 30 % or more."""
    data = write_pictures(tmp_path / "one", count=2)
    copy = Image.open(data / "0.png")
    copy.putpixel((0, 0), (0, 0, 0))  # equal pictures would be held out together
    copy.save(data / "1.png")
    (data / "1.txt").write_text("a red square", encoding="utf-8")
    config = small(
        data, data={"path": str(data), "resolutions": [64], "held_out": 1, "caption_dropout": 0}, steps=150, batch_size=4,
        adapter={"rank": 16}, optimiser={"learning_rate": 1e-2}, checkpoint_every=150, held_out={"every": 150},
    )  # fmt: skip
    folder = run(config, ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu"))
    first, last = (record["loss"] for record in folder.records() if record["event"] == "held_out")
    assert last < 0.7 * first


@pytest.mark.parametrize("template", ["{trigger}, {caption}", "{caption}, in {trigger} style"])
@pytest.mark.parametrize("caption", ["a red star", "a [trigger] in the sun", "a wug, seen from above"])
def test_previews_show_prompts_with_and_without_the_trigger(template: str, caption: str) -> None:
    data = DataConfig.parse({"path": "x", "trigger": "wug", "trigger_template": template})
    seen = with_trigger(caption, data)
    plain = without_trigger(seen, data)
    assert "wug" in seen
    assert plain == {"a red star": "a red star", "a [trigger] in the sun": "a in the sun"}.get(
        caption, "a seen from above"
    )
    assert default_prompts([seen, "b, wug"], data, plain=True)[:2] == (seen, plain)
    assert default_prompts([seen], data, plain=False) == (seen,)  # an edit means nothing without its references
    assert len(default_prompts([f"wug {number}" for number in range(9)], data, plain=True)) == 8
