"""FLUX.1's fields on the command line, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.pictures import draw
from tests.flux1_models import write_flux1, write_redux
from workbench.recipe.controls import REDUX


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flux1")
    write_flux1(root / "dev", seed=1)
    write_flux1(root / "control", seed=3, pipeline="FluxControlPipeline", channels=32)
    return root


@pytest.fixture
def draw_with(cli: Any, home: Path, models: Path, tmp_path: Path) -> Any:
    draw(1, 64, 64).save(tmp_path / "a.png")

    def run(model: str, *words: str) -> Any:
        size = ["--width", "64", "--height", "64", "--steps", "2", "--max-sequence-length", "32"]
        return cli("generate", "--model", str(models / model), "--prompt", "a red circle", *size, *words)

    return run


def test_true_guidance_and_redux(draw_with: Any, home: Path, tmp_path: Path) -> None:
    write_redux(home / "models" / REDUX, seed=4)
    words = ("--true-cfg-scale", "2", "--negative-prompt", "blue", "--redux", str(tmp_path / "a.png"), "--json")
    told = json.loads(draw_with("dev", *words).stdout)
    recipe = told["recipe"]
    assert recipe["true_cfg_scale"] == 2
    assert recipe["redux"][0]["weight"] == 1
    assert recipe["task"] == "variation"


def test_control(draw_with: Any, tmp_path: Path) -> None:
    control = ("--control", str(tmp_path / "a.png"))
    told = json.loads(draw_with("control", *control, "--control-type", "canny", "--json").stdout)
    assert told["recipe"]["task"] == "control"
    refused = draw_with("control", *control)
    assert refused.exit_code == 2
    assert "Set control_type to one of" in refused.stderr


def test_what_is_missing_is_named(draw_with: Any, tmp_path: Path) -> None:
    refused = draw_with("dev", "--redux", str(tmp_path / "a.png"))
    assert refused.exit_code == 2
    assert "WB111" in refused.stderr or "black-forest-labs/FLUX.1-Redux-dev" in refused.stderr
    refused = draw_with("dev", "--control", str(tmp_path / "a.png"), "--control-type", "sketch")
    assert refused.exit_code == 2
    assert "control_type" in refused.stderr
