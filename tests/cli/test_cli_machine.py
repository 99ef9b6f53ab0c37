from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.settings import Settings
from workbench.settings_file import read_settings


def test_settings_say_where_they_come_from(
    cli: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workbench.yaml").write_text("device: cpu\ndatabase: postgresql://me:sesame@host/db\n")
    found = json.loads(cli("settings", "show", "--json").stdout)
    rows = {row["name"]: row for row in found["settings"]}
    assert rows["device"] == {
        "name": "device", "value": "cpu", "source": "file", "place": f"{tmp_path / 'workbench.yaml'}, line 1",
    }  # fmt: skip
    assert rows["home"]["place"] == "WORKBENCH_HOME"
    assert rows["database"]["value"] == "postgresql://me:***@host/db"
    assert [file["exists"] for file in found["files"]] == [True, False]
    table = cli("settings", "show", "--device", "cuda").stdout
    assert "sesame" not in table
    assert "argument" in table
    (tmp_path / "workbench.yaml").write_text("devise: cpu\n")
    failed = cli("models")
    assert failed.exit_code == 2
    assert "line 1: there is no setting 'devise'. Did you mean 'device'?" in failed.stderr


def test_the_example_file_is_read_and_says_nothing(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "workbench.yaml"
    text = cli("settings", "example").stdout
    path.write_text(text)
    assert read_settings(path, Settings.model_fields, ()) == {}
    path.write_text(text.replace("# device:", "device: cpu"))
    assert read_settings(path, Settings.model_fields, ())["device"].value == "cpu"


def test_capabilities(cli: Any) -> None:
    found = json.loads(cli("capabilities", "--json").stdout)
    assert {model["name"] for model in found["models"]} >= {"tiny-base", "klein-nano"}
    table = cli("capabilities").stdout
    assert "tiny-base" in table
    assert "Extra train:" in table


def test_doctor(cli: Any, tmp_path: Path) -> None:
    done = cli("doctor", "--json", "--out", str(tmp_path / "report.json"))
    report = json.loads(done.stdout)
    assert done.exit_code == (1 if report["state"] == "error" else 0)
    assert report["sections"].keys() >= {"versions", "device", "memory", "disk", "database", "models", "settings"}
    assert json.loads((tmp_path / "report.json").read_text())["state"] == report["state"]
    assert "torch" in cli("doctor").stdout
