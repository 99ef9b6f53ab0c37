from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.models.families import FAMILIES
from workbench.recipe import Recipe


def test_capabilities_are_those_of_the_tables(tmp_path: Path, tiny_klein: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_MODELS", str(tiny_klein.root))
    (tmp_path / "models" / "bad").mkdir(parents=True)
    (tmp_path / "models" / "bad" / "model_index.json").write_text("{}")
    found = json.loads(json.dumps(workbench.capabilities(tmp_path)))
    assert found["families"].keys() == FAMILIES.keys()
    for name, row in FAMILIES.items():
        told = found["families"][name]
        assert (told["tasks"], told["max_side"], told["steps"]) == (list(row.tasks), row.max_side, row.steps)
        assert told["checkpoints"].keys() == row.checkpoints.keys()
    assert found["recipe"]["properties"].keys() == Recipe.model_fields.keys()
    assert found["recipe"]["properties"]["steps"]["anyOf"][0]["maximum"] == 1000
    models = {model["name"]: model for model in found["models"]}
    assert models["tiny-base"]["width"]["maximum"] == FAMILIES[models["tiny-base"]["family"]].max_side
    assert models["tiny-distilled"]["distilled"]
    assert "bad" in found["broken"]
    assert set(found["schedulers"]["fields"]) >= {"steps", "shift", "sigmas"}
    assert "FlowMatchEulerDiscreteScheduler" in found["schedulers"]["classes"]
    assert {"image-to-image", "edit"} <= set(found["tasks"])
    assert found["features"].keys() >= {"lab", "train", "evals"}
    assert found["features"]["train"]["available"] == (not found["features"]["train"]["missing"])


def test_capabilities_need_no_torch() -> None:
    code = "import sys, workbench; workbench.capabilities(); print('torch' in sys.modules, 'diffusers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench import _capabilities

    lines = ["numpy>=2", 'no-such-thing>=1; extra == "x"', 'numpy; extra == "y"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: lines)
    assert _capabilities.features() == {
        "x": {"available": False, "missing": ["no-such-thing"]},
        "y": {"available": True, "missing": []},
    }
