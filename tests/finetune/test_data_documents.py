"""What the page on training data shows is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from finetune.cli import app
from finetune.data import Bucket, DataConfig
from finetune.data.examples import KINDS, write_example

PAGE = (Path(__file__).parents[2] / "docs" / "finetune_data.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_table_of_fields_is_complete() -> None:
    section = PAGE.split("## Configuration")[1].split("## Buckets")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(DataConfig.model_fields)
    for name, default in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", section, re.MULTILINE):
        assert float(default) == DataConfig.model_fields[name].default


def test_the_yaml_is_a_configuration() -> None:
    (text,) = blocks("yaml")
    config = DataConfig.parse(yaml.safe_load(text)["data"])
    assert (config.trigger, config.held_out, config.sources[1].regularisation) == ("wug", 4, True)


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_example("style", Path("data/style"), count=6)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "finetune_data.md", "exec"), names)
    assert names["batch"].bucket == Bucket(128, 128)
    assert names["picture"].size == (128, 128)


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(line, comments=True)[1:] for block in blocks("bash") for line in block.splitlines()]
    assert [line[0] for line in lines] == ["example", "check"]
    for line in lines:
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.output


def test_every_example_is_named() -> None:
    section = PAGE.split("## Example data")[1]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(KINDS)
