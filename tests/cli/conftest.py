"""Runs the command line in this process, on tiny models, with a home of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

Cli = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, tiny_klein: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_MODELS", str(tiny_klein.root))
    return tmp_path / "home"


@pytest.fixture
def cli(home: Path) -> Cli:
    """Call with the command's words; a traceback fails the test."""
    from workbench.cli import app

    def run(*words: str) -> Result:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
