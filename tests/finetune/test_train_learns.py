"""It learns: a few seconds of training teach the embedded model a style, which its pictures show significantly."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.statistics.paired import paired_difference
from finetune.data.concepts import measure
from finetune.data.examples import Drawn, samples, write_example
from finetune.presets import build_config
from tests.finetune.training import run
from workbench.engine import Engine
from workbench.models import ModelCatalog
from workbench.recipe import Adapter, Recipe

PROMPTS = 8


def scores(engine: Engine, asked: list[Drawn], adapters: tuple[Adapter, ...]) -> list[float]:
    """How much of the style each held-out prompt's picture shows, always from the same seeds."""
    recipes = [
        Recipe(model="klein-nano-base", prompt=each.caption, seed=seed, steps=8, adapters=adapters)
        for seed, each in enumerate(asked)
    ]
    found = [0.0] * len(asked)
    for result in engine.run(recipes):
        assert result.picture is not None
        found[result.index] = measure("style", result.picture, asked[result.index])
    return found


@pytest.mark.slow
def test_a_style_is_learned(tmp_path: Path) -> None:
    write_example("style", tmp_path / "style", count=12, regularisation=8)
    fields = {"model": "klein-nano-base", "data": str(tmp_path / "style"), "data.trigger": "wug", "name": "blueprint",
              "steps": 120, "checkpoint_every": 120, "timesteps.mean": 1.5, "device": "cpu"}  # fmt: skip
    catalog = ModelCatalog(tmp_path / "home", device="cpu")
    folder = run(build_config(preset="nano", fields=fields), catalog)
    assert folder.status().state == "finished"
    engine = Engine(catalog, device="cpu")
    asked = list(samples("style", PROMPTS, seed=1, held_out=True, alone=True))
    before, after = scores(engine, asked, ()), scores(engine, asked, (Adapter(name="blueprint"),))
    rise = paired_difference(after, before)
    assert rise.value > 0.1
    assert rise.p < 0.05, rise
