from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.metadata import recall_samples as samples
from workbench.recipe import Recipe


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "comfy.png"
    path.write_bytes(samples.png({"prompt": samples.dumps(samples.comfy_klein())}))
    return str(path)


def test_the_recipe_is_on_stdout_and_the_rest_on_stderr(cli: Any, picture: str) -> None:
    done = cli("recall", picture)
    assert done.exit_code == 0
    assert Recipe.from_yaml(done.stdout).prompt == "put the fox on a boat"
    assert "metadata of ComfyUI" in done.stderr
    assert "Left out: sampler_name = dpmpp_2m:" in done.stderr


def test_yaml_and_json(cli: Any, picture: str) -> None:
    text = cli("recall", picture, "--yaml").stdout
    assert Recipe.from_yaml(text).seed == 5
    assert "# left out: sampler_name = dpmpp_2m" in text
    values = json.loads(cli("recall", picture, "--json").stdout)
    assert Recipe.parse(values["recipe"]) == Recipe.from_yaml(text)
    assert {part["name"] for part in values["left_out"]} == {"sampler_name", "reference (LoadImage)"}
    assert cli("recall", picture, "--json", "--yaml").exit_code == 2


def test_a_model_that_is_here_can_be_named(cli: Any, picture: str) -> None:
    assert Recipe.from_yaml(cli("recall", picture, "--model", "tiny-base").stdout).model == "tiny-base"
    failed = cli("recall", picture, "--model", "tiny-bas")
    assert failed.exit_code == 2
    assert "'tiny-base'" in failed.stderr


def test_a_file_without_metadata_is_refused_in_one_line(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "bare.png"
    path.write_bytes(samples.png({}))
    done = cli("recall", str(path))
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert "does not say how it was made" in done.stderr
    assert len(done.stderr.splitlines()) == 1
