"""The documents tell the truth: links lead somewhere, code runs, tables are complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.main import get_command

import evals.cli
import finetune.cli
import workbench.cli
from workbench import errors
from workbench.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "workbench").rglob("*.md")])
CODED = re.compile(r'^class (\w+)\([^)]*\):\n(?:(?!^class ).*\n)*?    code = "(WB\d{3})"$', re.MULTILINE)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_linked_files_exist(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http", "#", "mailto:"))]
    missing = [link for link in links if not (path.parent / link.split("#")[0]).exists()]
    assert not missing


def test_table_of_errors_is_complete() -> None:
    found = [
        (match[2], match[1])
        for package in ("workbench", "finetune", "evals")
        for path in (ROOT / package).rglob("*.py")
        for match in CODED.finditer(path.read_text(encoding="utf-8"))
    ]
    assert len(dict(found)) == len(found), "two errors share a code"
    assert dict(found).keys() >= {cls.code for cls in errors.WorkbenchError.__subclasses__()}
    table = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (WB\d{3}) \| `(\w+)` \|", table, re.MULTILINE) == sorted(found)


def test_table_of_settings_is_complete() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^\| `({PREFIX}\w+)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(PREFIX + name.upper() for name in Settings.model_fields)


def test_python_snippets_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    snippets = blocks("python")
    assert len(snippets) == 3
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)
    assert (tmp_path / "circle.png").is_file()
    assert {path.name for path in (tmp_path / "star").iterdir()} == {
        "grid.png",
        "grid.html",
        "cells.parquet",
        "grid.yaml",
    }
    assert capsys.readouterr().out == "18 computed, 0 from the store\n"


def test_yaml_of_the_readme_is_the_grid_of_its_python() -> None:
    from workbench.grid import Grid

    (text,) = blocks("yaml")
    source = blocks("python")[1].split("done =")[0]
    names: dict[str, object] = {}
    exec(source, names)
    assert Grid.from_yaml(text) == names["grid"]


def test_commands_of_the_readme_exist_with_their_options() -> None:
    apps: dict[str, typer.Typer] = {
        "workbench": workbench.cli.app,
        "evals": evals.cli.app,
        "finetune": finetune.cli.app,
    }
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith(tuple(apps))]
    assert len(lines) >= 6
    for line in lines:
        program, *rest = shlex.split(line, comments=True)
        command = get_command(apps[program])
        while rest and rest[0] in (commands := getattr(command, "commands", {})):  # a group, perhaps within a group
            command = commands[rest.pop(0)]
        assert command is not get_command(apps[program]), line
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, line


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in DOCUMENTS:
        named = set(
            re.findall(
                r"(?:^|`)make ([a-z]+)(?=`|\s*$|\s+#|\s+[A-Z]+=)", path.read_text(encoding="utf-8"), re.MULTILINE
            )
        )
        assert named <= targets, path
