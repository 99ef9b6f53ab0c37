"""Samplers and schedules against the solvers and levels of diffusers, on the pipeline's own velocities."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import DYNAMIC
from tests.engine.pictures import difference, draw, pipeline
from tests.engine.tiny_families import write_flux3
from workbench.engine import Engine
from workbench.engine.schedule import noise_levels
from workbench.engine.solvers import two_step, two_step_weights
from workbench.errors import RecipeError, SchedulerError
from workbench.models import ModelCatalog
from workbench.recipe import Recipe, resolve

BASE = Recipe(model="tiny-base", prompt="a red circle", width=64, height=80, steps=5, guidance_scale=3.0, seed=2)


def prepared(solver: Any, steps: int) -> Any:
    """A solver of diffusers with its state reset; its own levels, which are replaced, come with NumPy's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        solver.set_timesteps(steps)
    solver.set_begin_index(0)
    return solver


class Lent(FlowMatchEulerDiscreteScheduler):
    """The pipeline's levels, walked down by another solver of diffusers."""

    solver: Any = None
    extra: dict[str, Any] = {}  # noqa: RUF012 - of a test
    timesteps: Any
    sigmas: Any

    def set_timesteps(
        self, num_inference_steps: Any = None, device: Any = None, sigmas: Any = None, mu: Any = None
    ) -> None:
        super().set_timesteps(num_inference_steps, device=device, sigmas=sigmas, mu=mu)
        solver = prepared(type(self).solver(**self.extra), len(self.timesteps))
        if isinstance(solver, FlowMatchHeunDiscreteScheduler):  # each level but the first twice
            last = len(self.sigmas) - 1
            self.timesteps = torch.cat([self.timesteps[:1], self.timesteps[1:].repeat_interleave(2)])
            self.sigmas = torch.cat([self.sigmas[:1], self.sigmas[1:last].repeat_interleave(2), self.sigmas[last:]])
        solver.timesteps, solver.sigmas = self.timesteps, self.sigmas
        self.lent = solver

    def step(self, model_output: Any, timestep: Any, sample: Any, **_: Any) -> Any:
        return self.lent.step(model_output, timestep, sample, return_dict=False)


class Heun(Lent):
    solver = FlowMatchHeunDiscreteScheduler


class TwoStep(Lent):
    solver = DPMSolverMultistepScheduler
    extra = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "lower_order_final": False}  # noqa: RUF012


def stock(pipe: Any, model: Any, recipe: Recipe) -> Image.Image:
    picture: Image.Image = pipe(
        prompt=recipe.prompt, width=64, height=80, num_inference_steps=recipe.steps, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(2), max_sequence_length=model.max_sequence_length,
        text_encoder_out_layers=model.family.text_layers,
    ).images[0]  # fmt: skip
    return picture


def test_samplers_equal_diffusers(tiny_engine: Engine, tiny_catalog: ModelCatalog) -> None:
    """All in one run, with rows of other numbers of steps beside them, so that none depends on its neighbours."""
    recipes = [
        BASE, BASE.replace(sampler="heun"), BASE.replace(sampler="dpmpp-2m"),
        BASE.replace(sampler="heun", steps=3, seed=3), BASE.replace(sampler="dpmpp-2m", steps=3, seed=3),
    ]  # fmt: skip
    results = {result.index: result for result in tiny_engine.run(recipes)}
    assert [results[index].error for index in range(5)] == [None] * 5
    model = tiny_catalog.model("tiny-base")
    pipe = pipeline(model)
    own = pipe.scheduler
    for index, cls in ((1, Heun), (2, TwoStep)):
        pipe.scheduler = cls.from_config(own.config)
        assert difference(results[index].picture, stock(pipe, model, BASE)) <= 1
        assert difference(results[index].picture, results[0].picture) > 5


@pytest.mark.parametrize("schedule", ["karras", "exponential", "beta"])
def test_schedules_equal_diffusers(tiny_engine: Engine, tiny_catalog: ModelCatalog, schedule: Any) -> None:
    model = tiny_catalog.model("tiny-base")
    results = {result.index: result for result in tiny_engine.run([BASE.replace(schedule=schedule), BASE])}
    pipe = pipeline(model)
    pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config(
        pipe.scheduler.config, **{f"use_{schedule}_sigmas": True}
    )
    assert difference(results[0].picture, stock(pipe, model, BASE)) <= 1
    assert difference(results[0].picture, results[1].picture) > 1


falling = st.lists(st.integers(1, 99), min_size=2, max_size=8, unique=True).map(
    lambda each: [level / 100 for level in sorted(each)[::-1]]
)


@given(falling, st.booleans())
def test_two_step_weights_are_those_of_the_solver(levels: list[float], whole: bool) -> None:
    """With a velocity that depends on place and level, from noise alone or from an image's level."""
    sigmas = torch.tensor([*([1.0] if whole else []), *levels, 0.0])
    own = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, lower_order_final=False)
    solver = prepared(own, len(sigmas) - 1)
    solver.sigmas = sigmas
    weights = two_step_weights(sigmas)
    ours = theirs = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    before = None
    for step in range(len(sigmas) - 1):

        def velocity(state: torch.Tensor, level: torch.Tensor = sigmas[step]) -> torch.Tensor:
            return torch.tanh(state) + level * state.cos()

        theirs = solver.step(velocity(theirs), solver.timesteps[step], theirs, return_dict=False)[0]
        estimate = ours - sigmas[step] * velocity(ours)
        ours, before = two_step(weights[step : step + 1], ours, estimate, before), estimate
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_straight_path_is_walked_exactly(start: float, end: float) -> None:
    """Every solver does what Euler's does where the velocity is constant."""
    sigmas = torch.tensor([1.0, 0.8, 0.3, 0.1, 0.0])
    weights = two_step_weights(sigmas)
    state, before = torch.full((1, 1, 1), start), None
    for step in range(4):
        estimate = state - sigmas[step] * (start - end)
        state, before = two_step(weights[step : step + 1], state, estimate, before), estimate
    assert float(state) == pytest.approx(end, abs=1e-4)


def test_levels_that_are_equal_to_the_last_digit_give_numbers() -> None:
    assert torch.isfinite(two_step_weights(torch.tensor([1.0, 0.5, 0.5, 0.2, 0.0]))).all()


def test_levels_stay_between_the_ends_and_fall() -> None:
    plain = noise_levels(DYNAMIC, 300, 9)[1]
    for spacing in ("karras", "exponential", "beta"):
        sigmas = noise_levels(DYNAMIC, 300, 9, spacing=spacing)[1]
        assert torch.allclose(sigmas[[0, 8, 9]], plain[[0, 8, 9]], atol=1e-6)
        assert (sigmas.diff() < 0).all()


def test_samplers_keep_what_is_outside_a_mask_and_start_from_an_image(
    tiny_engine: Engine, tiny_catalog: ModelCatalog, tmp_path: Any
) -> None:
    image = draw(1, 64, 64)
    image.save(tmp_path / "image.png")
    levels = np.zeros((64, 64), np.uint8)
    levels[16:48, 16:48] = 255
    Image.fromarray(levels).save(tmp_path / "mask.png")
    base = BASE.replace(width=None, height=None, image=tmp_path / "image.png", steps=4)
    recipes = [
        base.replace(sampler=sampler, **more)
        for sampler in ("heun", "dpmpp-2m")
        for more in ({"mask": tmp_path / "mask.png"}, {"strength": 0.5}, {"strength": 0.0})
    ]
    results = {result.index: result for result in tiny_engine.run(recipes)}
    for index in (0, 3):
        assert (np.asarray(results[index].picture)[levels == 0] == np.asarray(image)[levels == 0]).all()
    alone = Engine(tiny_catalog, device="cpu", batch_size=1)
    for index in (1, 4):
        (result,) = alone.run([recipes[index]])
        assert difference(result.picture, results[index].picture) <= 1
    assert difference(results[2].picture, results[5].picture) == 0  # nothing is drawn


def test_what_changes_nothing_leaves_no_trace_and_names_have_versions(tiny_catalog: ModelCatalog) -> None:
    plain = resolve(BASE, tiny_catalog)
    assert "sampler" not in plain.canonical_json
    for same in (BASE.replace(sampler="euler"),):
        assert resolve(same, tiny_catalog).digest == plain.digest
    short = BASE.replace(steps=2)
    assert resolve(short.replace(sampler="dpmpp-2m"), tiny_catalog).digest == resolve(short, tiny_catalog).digest
    single = BASE.replace(steps=1)
    one = resolve(single.replace(sampler="heun", schedule="beta"), tiny_catalog)
    assert one.digest == resolve(single, tiny_catalog).digest
    both = resolve(BASE.replace(sampler="heun", schedule="karras"), tiny_catalog)
    assert '"sampler":"heun/1"' in both.canonical_json
    assert '"schedule":"karras/1"' in both.canonical_json
    assert resolve(both.recipe, tiny_catalog).digest == both.digest


def test_what_cannot_be_combined_is_refused(tiny_catalog: ModelCatalog, tmp_path: Any) -> None:
    with pytest.raises(RecipeError, match="would replace them"):
        resolve(BASE.replace(schedule="beta", sigmas=(1.0, 0.5), steps=None), tiny_catalog)
    with pytest.raises(RecipeError, match="no cache of steps takes"):
        resolve(BASE.replace(sampler="heun", cache="taylorseer"), tiny_catalog)
    write_flux3(tmp_path / "models" / "jumping", seed=1, flow_map=True)
    with pytest.raises(RecipeError, match=r"learned the jump.*flux-3-image-klein-base"):
        resolve(Recipe(model="jumping", sampler="heun"), ModelCatalog(tmp_path, device="cpu"))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.engine.schedule.find_spec", lambda _: None)
    with pytest.raises(SchedulerError, match="needs scipy"):
        noise_levels(DYNAMIC, 300, 4, spacing="beta")
