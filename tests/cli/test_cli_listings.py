from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.recipe import Recipe

TINY = ["--model", "tiny-base", "--width", "64", "--height", "64", "--steps", "1", "--device", "cpu"]


def test_models_are_listed_with_their_defaults(cli: Any) -> None:
    rows = {row["name"]: row for row in json.loads(cli("models", "--json").stdout)}
    assert not rows["tiny-base"]["distilled"]
    assert rows["tiny-distilled"]["distilled"]
    assert rows["tiny-base"]["guidance_scale"] > 1
    assert rows["tiny-base"]["licence"] == "not known"
    table = cli("models").stdout
    assert all(name in table for name in rows)
    assert "none (distilled)" in table


def test_a_broken_model_is_told_on_stderr_and_the_rest_is_listed(cli: Any, home: Path) -> None:
    (home / "models" / "broken").mkdir(parents=True)
    (home / "models" / "broken" / "model_index.json").write_text("{}")
    done = cli("models")
    assert done.exit_code == 0
    assert done.stderr.startswith("Warning: ")
    assert "broken" in done.stderr
    assert "tiny-base" in done.stdout


def test_fields_are_those_of_the_recipe(cli: Any) -> None:
    rows = {row["name"]: row for row in json.loads(cli("fields", "--json").stdout)}
    assert list(rows) == list(Recipe.model_fields)
    assert (rows["steps"]["minimum"], rows["steps"]["maximum"]) == (1, 1000)
    assert rows["seed"]["range"] == f"0 to below {2**63}"
    assert rows["precision"]["choices"] == ["float32", "bfloat16"]
    table = cli("fields").stdout
    assert all(field.description in table for field in Recipe.model_fields.values())


def test_pictures_are_listed_newest_first(cli: Any) -> None:
    assert json.loads(cli("pictures", "--json").stdout) == []
    for seed in ("1", "2", "3"):
        cli("generate", *TINY, "--seed", seed, "--prompt", "two\nlines")
    rows = json.loads(cli("pictures", "--limit", "2", "--json").stdout)
    assert [row["recipe"]["seed"] for row in rows] == [3, 2]
    table = cli("pictures").stdout
    assert len(table.splitlines()) == 4
    assert "two lines" in table


def test_every_recipe_field_is_an_option_with_its_description(cli: Any) -> None:
    text = " ".join(cli("generate", "--help").stdout.split())
    for name, field in Recipe.model_fields.items():
        if name == "adapters":  # by --set
            continue
        option = "reference" if name == "references" else name.replace("_", "-")  # given once for each
        assert f"--{option}" in text
        for word in (field.description or "").split():
            assert word in text


def test_every_command_has_help_and_an_example(cli: Any) -> None:
    from typer.main import get_command

    from workbench.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert {"generate", "verify", "models", "fields", "pictures"} <= set(commands)
    for name in commands:
        text = cli(name, "--help").stdout
        assert "Example" in text, name
        assert f"workbench {name}" in text.partition("Example")[2], name


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_the_top_level(cli: Any, words: list[str]) -> None:
    done = cli(*words)
    assert done.exit_code == 0
    assert (workbench.__version__ if words == ["--version"] else "generate") in done.stdout


def test_an_unknown_command_is_bad_input(cli: Any) -> None:
    done = cli("frobnicate")
    assert done.exit_code == 2
    assert "No such command" in done.stderr
