"""The small parts against diffusers' own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import DYNAMIC, STATIC
from workbench.engine import latents, schedule
from workbench.engine.cache import TensorFolder
from workbench.engine.denoise import Denoiser, make_rows
from workbench.engine.kinds import Text
from workbench.engine.plan import make_plan
from workbench.engine.preview import CELLS, preview, preview_map
from workbench.engine.text import TextCache, tokenize, truncation_warning
from workbench.models import ModelCatalog
from workbench.models.loading import Components, load
from workbench.recipe import Recipe


@pytest.fixture(scope="module")
def parts(tiny_catalog: ModelCatalog) -> Components:
    return load(tiny_catalog.model("tiny-base"), "float32", torch.device("cpu"))


@given(tokens=st.integers(16, 70_000), steps=st.integers(1, 1000))
def test_mu_equals_diffusers(tokens: int, steps: int) -> None:
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    assert schedule.empirical_mu(tokens, steps) == pytest.approx(compute_empirical_mu(tokens, steps), rel=1e-12)


@pytest.mark.parametrize("config", [DYNAMIC, STATIC, STATIC | {"shift_terminal": 0.02}])
@pytest.mark.parametrize("steps", [2, 4, 28])
def test_noise_levels_equal_diffusers(config: dict[str, Any], steps: int) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu, retrieve_timesteps

    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    even = np.linspace(1.0, 1 / steps, steps)
    expected, _ = retrieve_timesteps(scheduler, steps, "cpu", sigmas=even, mu=compute_empirical_mu(64, steps))
    timesteps, sigmas = schedule.noise_levels(config, 64, steps)
    assert torch.equal(timesteps, expected)
    assert torch.equal(sigmas, scheduler.sigmas)
    assert len(sigmas) == steps + 1
    assert sigmas[-1] == 0


def test_latents_equal_diffusers() -> None:
    from diffusers import Flux2KleinPipeline as Pipeline

    grid = torch.randn(2, 12, 6, 10)
    assert torch.equal(latents.patchify(grid), Pipeline._patchify_latents(grid))
    patches = latents.patchify(grid)
    assert torch.equal(latents.unpatchify(patches), grid)
    tokens = latents.pack(patches)
    assert torch.equal(tokens, Pipeline._pack_latents(patches))
    ids = latents.picture_ids(3, 5)
    assert torch.equal(ids.expand(2, -1, -1), Pipeline._prepare_latent_ids(patches))
    assert torch.equal(latents.unpack(tokens, 3, 5), Pipeline._unpack_latents_with_ids(tokens, ids.expand(2, -1, -1)))
    assert torch.equal(latents.text_ids(7)[None], Pipeline._prepare_text_ids(torch.zeros(1, 7, 4)))


@given(seed=st.integers(0, 2**63 - 1))
def test_noise_equals_diffusers(seed: int) -> None:
    from diffusers.utils.torch_utils import randn_tensor

    for dtype in (torch.float32, torch.bfloat16):
        expected = randn_tensor((1, 16, 4, 6), generator=torch.Generator().manual_seed(seed), dtype=dtype)
        assert torch.equal(latents.draw_noise(seed, 16, 4, 6).to(dtype), latents.pack(expected))


def test_normalise_is_undone(parts: Components) -> None:
    grid = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(latents.denormalise(parts.vae, latents.normalise(parts.vae, grid)), grid)


def test_only_the_layers_read_are_loaded(parts: Components) -> None:
    assert len(parts.text_encoder.layers) == max(parts.model.family.text_layers)  # type: ignore[arg-type]
    assert not hasattr(parts.text_encoder, "lm_head")


def test_truncation_is_told(parts: Components) -> None:
    exact = tokenize(parts, "x" * 18, 32)
    over = tokenize(parts, "x" * 60, 32)
    assert exact.total <= 32
    assert exact.lost == 0
    assert truncation_warning(exact) == ""
    assert over.lost == over.total - 32
    assert over.ids.shape == (1, 32)
    assert f"last {over.lost} of its {over.total} tokens were not read" in truncation_warning(over)


def test_texts_are_encoded_once(parts: Components, tmp_path: Any) -> None:
    cache = TextCache(folder=tmp_path)
    first, _ = cache.get(parts, "a", 32)
    again, warning = cache.get(parts, "a", 32)
    assert again is first
    assert warning == ""
    assert (cache.encoded, cache.found) == (1, 1)
    cache.get(parts, "a", 40)
    assert cache.encoded == 2
    fresh = TextCache(folder=tmp_path)
    stored, _ = fresh.get(parts, "a", 32)
    assert torch.equal(stored.embeds, first.embeds)
    assert (fresh.encoded, fresh.found) == (0, 1)


def test_a_damaged_entry_on_disk_is_made_again(parts: Components, tmp_path: Any) -> None:
    first, _ = TextCache(folder=tmp_path).get(parts, "a", 32)
    (file,) = tmp_path.glob("*/*.safetensors")
    file.write_bytes(file.read_bytes()[:20])
    cache = TextCache(folder=tmp_path)
    assert torch.equal(cache.get(parts, "a", 32)[0].embeds, first.embeds)
    assert cache.encoded == 1


def test_memory_of_texts_is_bounded(parts: Components) -> None:
    size = 32 * 96 * 4  # bytes of one embedding
    cache = TextCache(limit=2 * size)
    for prompt in ("a", "b", "a", "c", "a", "b"):
        cache.get(parts, prompt, 32)
    assert cache.encoded == 4  # b was dropped for c, being used longer ago than a, and came again
    assert cache.found == 2


def test_previews_follow_the_picture(parts: Components, tmp_path: Any) -> None:
    """The linear map, on latents of a picture that it was not fitted on, comes near the picture's own colours."""
    disk = TensorFolder(tmp_path)
    matrix = preview_map(parts, disk)
    assert preview_map(parts, disk) is matrix
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 1
    small = preview(matrix, torch.randn(2 * 3, parts.latent_channels), 2, 3)
    assert small.size == (3 * CELLS, 2 * CELLS)


def test_rows_split_and_leave(parts: Components, tiny_catalog: ModelCatalog) -> None:
    recipes = [
        Recipe(model="tiny-base", width=64, height=64, seed=seed, steps=steps, guidance_scale=scale)
        for seed, (steps, scale) in enumerate([(1, 1.0), (2, 3.0), (3, 1.0), (3, 3.0)])
    ]
    (group,) = make_plan(recipes, tiny_catalog).groups
    texts = [(Text(torch.randn(1, 32, 96)), Text(torch.randn(1, 32, 96))) for _ in group.jobs]
    rows = make_rows(parts, group.jobs, texts, 4, 4)
    denoiser = Denoiser(parts, 4, 4)
    halves = rows.split(3)
    assert [half.names for half in halves] == [[0, 1, 2], [3]]
    assert [half.guided for half in halves] == [[1], [0]]
    finals: dict[int, torch.Tensor] = {}
    for half in halves:
        while half.names:
            denoiser.step(half, together=False)
            finals.update({name: tokens for name, tokens, _ in half.leave()})
    left = []
    while rows.names:
        denoiser.step(rows)
        for name, tokens, failed_at in rows.leave():
            left.append((rows.step, name))
            assert int(failed_at) == 0
            torch.testing.assert_close(tokens, finals[name], rtol=1e-4, atol=1e-4)
    assert left == [(1, 0), (2, 1), (3, 2), (3, 3)]
