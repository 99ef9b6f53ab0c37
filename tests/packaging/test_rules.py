"""Rules of the whole tree: the import contract, stripped notebooks, no path of a machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TEXT = {".py", ".md", ".yml", ".yaml", ".toml", ".txt", ".sh", ".js", ".css", ".html", ".ipynb", ".jinja"}


def test_imports_run_downward_only() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_the_contract_sees_a_wrong_import(tmp_path: Path) -> None:
    """The contract is not vacuous: a store that imports the engine breaks it."""
    for package in ("workbench", "finetune", "evals"):
        for path in (ROOT / package).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    with (tmp_path / "workbench" / "store" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("\nimport workbench.engine.plan\n")
    code = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "workbench.store -> workbench.engine.plan" in done.stdout


def test_notebooks_are_there() -> None:
    assert {path.name for path in NOTEBOOKS} >= {"01_generate.ipynb", "02_grid.ipynb"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_stripped_and_short(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    for cell in cells:
        assert not cell.outputs
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= 15
        assert not re.search(r"^\s*class ", cell.source, re.MULTILINE)


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    # assembled, so that this file does not name it either
    marks = ["/" + "work/", "/root/" + ".", "/home/" + "user"]
    found = [
        (name, mark)
        for name in listed.stdout.splitlines()
        if Path(name).suffix in TEXT and (ROOT / name).is_file()
        for mark in marks
        if mark in (ROOT / name).read_text(encoding="utf-8")
    ]
    assert not found
