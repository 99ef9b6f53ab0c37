"""Notebooks show, they do not define: short stripped cells that run from top to bottom."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALLOWED = {"workbench", "evals", "finetune", "pathlib", "IPython", "matplotlib", "pandas", "PIL"}
LINES = 15


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS][:2] == ["01_generate.ipynb", "02_grid.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stripped(path: Path) -> None:
    for cell in cells(path, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_short_cells_that_only_call(path: Path) -> None:
    for cell in cells(path, "code"):
        assert len(source(cell).splitlines()) <= LINES, source(cell)
        for node in ast.walk(ast.parse(source(cell))):
            assert not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef), source(cell)
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= ALLOWED, source(cell)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_says_what_it_needs_and_where_things_went(path: Path) -> None:
    texts = [source(cell) for cell in cells(path, "markdown")]
    for words in ("**You will**", "**Needs**", "**Takes**"):
        assert words in texts[0]
    assert "here the files went" in "".join(texts[-2:])
    assert "**Next:**" in texts[-1]
    for text in texts:
        for name in [part.split(")")[0] for part in text.split("](")[1:]]:
            assert name.startswith("http") or (path.parent / name).exists(), name


@pytest.mark.slow
def test_they_run(tmp_path: Path) -> None:
    """In a kernel each, in a copy, with pictures in a temporary folder."""
    copies = []
    for path in NOTEBOOKS:
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    env = os.environ | {"WORKBENCH_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "--nbmake", "--nbmake-timeout=1200", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(tmp_path), "--overwrite", *map(str, copies)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for path in copies:
        outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
        assert any("image/png" in output.get("data", {}) for output in outputs), path.name  # a picture was shown
        assert any("wb" in str(output) or "widget-view" in str(output) for output in outputs), path.name
    assert list((tmp_path / "home" / "pictures").rglob("*.png"))
