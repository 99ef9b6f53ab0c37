"""Loss and gradients against the formulas of diffusers' training scripts, written out independently, on real classes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import Flux2Transformer2DModel, Flux3Transformer2DModel, FluxTransformer2DModel
from torch import Tensor, nn

from finetune.batch import Batch, Text
from finetune.config import WeightingKind
from finetune.families import TRAIN_FAMILIES
from finetune.objective import flow_losses, loss_weights, noisy_latents

ROWS, COLUMNS, LENGTH = 4, 6, 7
TOLERANCE = 1e-5


def tiny(name: str) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module
    if name.startswith("flux1"):
        model = FluxTransformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=24, pooled_projection_dim=12, guidance_embeds=True, axes_dims_rope=(4, 6, 6),
        )  # fmt: skip
    elif name.startswith("flux2"):
        model = Flux2Transformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=2,
            joint_attention_dim=24, timestep_guidance_channels=32, axes_dims_rope=(8, 8, 8, 8),
            guidance_embeds=name == "flux2-dev",
        )  # fmt: skip
    else:
        model = Flux3Transformer2DModel(
            in_channels=16, cond_in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=32,
            num_attention_heads=2, joint_attention_dim=24, timestep_channels=32, axes_dims_rope=(8, 8, 8, 8),
        )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5)
    return model


def latents(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(name: str, references: int) -> tuple[Batch, dict[str, Tensor]]:
    """A batch as our trainer sees it, and the same as maps (B, C, H, W), as the scripts of diffusers hold it."""
    unpacked = name.startswith("flux1")  # FLUX.1 packs 2 x 2 patches of latents that are normalised before
    shape = (2, 4, 2 * ROWS, 2 * COLUMNS) if unpacked else (2, 16, ROWS, COLUMNS)
    maps = {"x": latents(*shape, seed=1), "e": latents(*shape, seed=2)}
    maps |= {f"r{number}": latents(*shape, seed=3 + number) for number in range(references)}
    pack = pack_flux1 if unpacked else (lambda value: value.reshape(2, 16, -1).permute(0, 2, 1))
    packed = {key: pack(value) for key, value in maps.items()}
    text = Text(latents(2, LENGTH, 24, seed=20), latents(2, 12, seed=21) if unpacked else None)
    batch = Batch(
        names=("a", "b"),
        clean=packed["x"],
        noise=packed["e"],
        sigma=torch.tensor([0.3, 0.8]),
        text=text,
        grid=(ROWS, COLUMNS),
        weight=torch.ones(2),
        references=tuple(packed[f"r{number}"] for number in range(references)),
        reference_grids=((ROWS, COLUMNS),) * references,
    )
    return batch, maps


def pack_flux1(value: Tensor) -> Tensor:
    batch, channels, height, width = value.shape
    value = value.view(batch, channels, height // 2, 2, width // 2, 2)
    return value.permute(0, 2, 4, 1, 3, 5).reshape(batch, (height // 2) * (width // 2), channels * 4)


def unpack_flux1(value: Tensor) -> Tensor:
    value = value.view(value.shape[0], ROWS, COLUMNS, 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return value.reshape(value.shape[0], 4, 2 * ROWS, 2 * COLUMNS)


def coordinates(time: float, scale: float = 1.0, layer: float = 0.0) -> Tensor:
    return torch.tensor(
        [[time, row * scale, column * scale, layer] for row in range(ROWS) for column in range(COLUMNS)]
    )


def script_loss(name: str, model: Any, batch: Batch, maps: dict[str, Tensor], weighting: str) -> Tensor:
    """The body of diffusers' training loops: noisy input, target, weighting, mean. Ids and layout written out."""
    x, e = maps["x"], maps["e"]
    sigmas = batch.sigma.view(-1, 1, 1, 1)
    noisy = (1.0 - sigmas) * x + sigmas * e
    references = [maps[key] for key in sorted(maps) if key.startswith("r")]
    text = torch.stack([torch.zeros(LENGTH), torch.zeros(LENGTH), torch.zeros(LENGTH), torch.arange(LENGTH)], 1)
    common = {"encoder_hidden_states": batch.text.embeds, "timestep": batch.sigma * 1000 / 1000, "return_dict": False}
    if name.startswith("flux1"):
        tokens = torch.cat([pack_flux1(noisy), *map(pack_flux1, references)], dim=1)
        places = [coordinates(0)[:, :3]] + [coordinates(1)[:, :3] for _ in references]
        prediction = model(
            hidden_states=tokens, pooled_projections=batch.text.pooled, guidance=torch.full((2,), 3.5),
            txt_ids=torch.zeros(LENGTH, 3), img_ids=torch.cat(places), **common,
        )[0]  # fmt: skip
        prediction = unpack_flux1(prediction[:, : ROWS * COLUMNS])
    else:

        def flat(value: Tensor) -> Tensor:
            return value.flatten(2).permute(0, 2, 1)

        if name.startswith("flux2"):
            tokens = torch.cat([flat(noisy), *map(flat, references)], dim=1)
            ids = torch.cat([coordinates(0), *(coordinates(10 * (place + 1)) for place in range(len(references)))])
            guidance = torch.full((2,), 3.5) if name == "flux2-dev" else None
            prediction = model(hidden_states=tokens, guidance=guidance, txt_ids=text, img_ids=ids, **common)[0]
        else:
            own = coordinates(0, 0.5)
            conditions = torch.cat([flat(value) for value in references], dim=1) if references else None
            layers = [coordinates(0, 0.5, -1 - place) for place in range(len(references))]
            prediction = model(
                hidden_states=flat(noisy), txt_ids=text, img_ids=own, image_cond_hidden_states=conditions,
                image_cond_ids=torch.cat(layers) if references else None, **common,
            )[0]  # fmt: skip
        prediction = prediction[:, : ROWS * COLUMNS].permute(0, 2, 1).reshape(2, 16, ROWS, COLUMNS)
    weights = {
        "none": torch.ones_like(sigmas),
        "sigma_sqrt": sigmas**-2.0,
        "cosmap": 2 / (math.pi * (1 - 2 * sigmas + 2 * sigmas**2)),
    }[weighting]
    target = e - x
    return torch.mean((weights.float() * (prediction.float() - target.float()) ** 2).reshape(2, -1), 1).mean()


CASES = [
    ("flux1-dev", 0, "none"),
    ("flux1-kontext", 1, "none"),
    ("flux2-dev", 0, "cosmap"),
    ("flux2-dev", 2, "none"),
    ("flux2-klein", 0, "none"),
    ("flux2-klein", 0, "sigma_sqrt"),
    ("flux2-klein", 1, "none"),
    ("flux2-klein", 4, "cosmap"),
    ("flux3-klein", 0, "none"),
    ("flux3-klein", 2, "none"),
]


@pytest.mark.parametrize(("name", "references", "weighting"), CASES)
def test_loss_and_gradients_equal_the_formulas_of_diffusers(
    name: str, references: int, weighting: WeightingKind
) -> None:
    model = tiny(name)
    batch, maps = make(name, references)
    theirs = script_loss(name, model, batch, maps, weighting)
    theirs.backward()
    wanted = {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    ours = flow_losses(TRAIN_FAMILIES[name], model, batch, guidance=3.5, weighting=weighting).mean()
    ours.backward()
    got = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    assert got.keys() == wanted.keys()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=TOLERANCE)
    for key, gradient in wanted.items():
        assert float(gradient.abs().max()) > 0, key
        # relative to the largest entry: a sum over tokens in another order moves entries near zero
        assert float((got[key] - gradient).abs().max() / gradient.abs().max()) < TOLERANCE, key


@pytest.mark.parametrize("name", ["flux2-dev", "flux2-klein", "flux3-klein", "flux1-kontext"])
def test_a_wrong_position_of_a_reference_would_be_seen(name: str) -> None:
    """The comparison above is not blind: swapping two references, or reference and picture, changes the loss."""
    model = tiny(name)
    batch, _ = make(name, TRAIN_FAMILIES[name].references)
    family = TRAIN_FAMILIES[name]
    first = float(flow_losses(family, model, batch).mean().detach())
    other = replace(batch, references=tuple(-each for each in batch.references))
    assert first != pytest.approx(float(flow_losses(family, model, other).mean().detach()), rel=1e-4)
    if len(batch.references) > 1:
        swapped = replace(batch, references=batch.references[::-1])
        assert first != pytest.approx(float(flow_losses(family, model, swapped).mean().detach()), rel=1e-6)


def test_a_mask_and_a_weight_decide_what_counts() -> None:
    model = tiny("flux2-klein")
    batch, _ = make("flux2-klein", 0)
    mask = torch.zeros(2, ROWS * COLUMNS)
    mask[:, :3] = 1
    family = TRAIN_FAMILIES["flux2-klein"]
    with torch.no_grad():
        masked = flow_losses(family, model, replace(batch, mask=mask))
        noisy = noisy_latents(batch.clean, batch.noise, batch.sigma)
        error = family.velocity(model, noisy, batch.sigma, batch, 1.0) - (batch.noise - batch.clean)
        assert torch.allclose(masked, error[:, :3].square().mean(dim=(1, 2)))
        plain = flow_losses(family, model, batch)
        halved = flow_losses(family, model, replace(batch, weight=torch.tensor([0.5, 1.0])))
    assert torch.allclose(halved, plain * torch.tensor([0.5, 1.0]))


def test_weights_of_the_loss_are_those_of_diffusers() -> None:
    from diffusers.training_utils import compute_loss_weighting_for_sd3

    sigma = torch.linspace(0.05, 0.95, 7)
    kinds: tuple[WeightingKind, ...] = ("none", "sigma_sqrt", "cosmap")
    for kind in kinds:
        assert torch.equal(loss_weights(sigma, kind), compute_loss_weighting_for_sd3(kind, sigmas=sigma))


def test_targets_of_the_families_are_all_linear_layers_of_the_blocks() -> None:
    from finetune.adapters import matched_layers

    for name, family in TRAIN_FAMILIES.items():
        model = tiny(name)
        inside = {
            key
            for key, layer in model.named_modules()
            if isinstance(layer, nn.Linear) and "blocks." in key and ".norm" not in key
        }
        assert set(matched_layers(model, family.pattern("blocks", references=True))) == inside, name
        parts = [set(matched_layers(model, family.pattern(kind))) for kind in ("attention", "mlp")]
        assert parts[0] | parts[1] == set(matched_layers(model, family.pattern("blocks"))), name
