"""The computed matrix of caches and families, and what the families' rows promise: one and the same."""

from __future__ import annotations

import pytest
import torch

from workbench.cache_report import measure, modes_of
from workbench.engine import Engine
from workbench.engine.cache_features import cache_matrix
from workbench.engine.calibrate import calibrate
from workbench.errors import RecipeError
from workbench.models import ModelCatalog
from workbench.models.families import FAMILIES
from workbench.recipe import Recipe
from workbench.recipe.approximate import METHODS

BASE = Recipe(model="tiny-base", prompt="a red circle", width=64, height=64, steps=5, precision="float32")


def test_rows_promise_what_was_found_by_trying() -> None:
    cells = cache_matrix()
    assert {(cell.form, cell.use) for cell in cells} == {(name, family) for name in METHODS for family in FAMILIES}
    for family in FAMILIES.values():
        assert tuple(cell.form for cell in cells if cell.use == family.name and cell.works) == family.caches
    reasons = {(cell.form, cell.use): cell.reason for cell in cells if not cell.works}
    assert all(reasons.values())
    assert "TypeError" in reasons["first_block", "flux2-klein"]
    assert "takes no caches" in reasons["taylorseer", "flux3-klein"]


def test_ratios_are_measured_and_draw(tiny_catalog: ModelCatalog, tiny_engine: Engine) -> None:
    recipes = [BASE.replace(prompt=prompt) for prompt in ("a red circle", "a blue square")]
    mode = calibrate(tiny_catalog, recipes, torch.device("cpu"))
    assert isinstance(mode.ratios, tuple)
    assert len(mode.ratios) == 5
    assert mode.ratios[0] == 1
    assert all(0 < ratio < 10 for ratio in mode.ratios)
    assert len(set(mode.ratios)) > 2
    (result,) = tiny_engine.run([BASE.replace(cache=str(mode))])
    assert result.error is None


def test_ratios_are_of_one_model_that_takes_them(tiny_catalog: ModelCatalog) -> None:
    with pytest.raises(RecipeError, match="prompt and seed only"):
        calibrate(tiny_catalog, [BASE, BASE.replace(steps=4)], torch.device("cpu"))


def test_a_report_tells_work_and_loss(tiny_catalog: ModelCatalog, tiny_engine: Engine) -> None:
    told: list[tuple[int, int]] = []
    modes = ["taylorseer:interval=2:warmup=1", "taylorseer:interval=4:warmup=1:lite=1"]
    prompts = ["a red circle", "a green star"]
    rows = measure(
        tiny_engine, tiny_catalog, BASE, modes, prompts=prompts, tell=lambda done, of: told.append((done, of))
    )
    assert told[-1] == (6, 6)
    exact, some, lite = rows
    assert (exact.cache, exact.work, exact.psnr) == ("", 1.0, (100.0, 100.0))
    assert 1 > some.work > lite.work > 0
    assert exact.worst > some.worst
    assert some.mean >= some.worst > 5


def test_modes_that_are_measured_are_those_of_the_family() -> None:
    assert modes_of((), None) == []
    klein = modes_of(("taylorseer", "magcache"), "magcache:ratios=1/1.1")
    assert "magcache:ratios=1/1.1:threshold=0.24" in klein
    assert not [mode for mode in klein if mode.startswith("first")]


def test_what_a_cache_keeps_is_part_of_the_estimate(tiny_catalog: ModelCatalog) -> None:
    from dataclasses import replace

    from workbench.engine.memory import row_bytes
    from workbench.engine.plan import make_plan

    model = tiny_catalog.model("tiny-base")
    shape = make_plan([BASE], tiny_catalog).groups[0].shape
    sizes = [
        row_bytes(model, replace(shape, cache=cache), 4, guided=False)
        for cache in ("", "taylorseer:lite=1", "magcache:ratios=1/1", "taylorseer", "taylorseer:order=3")
    ]
    assert sizes == sorted(set(sizes))
