from __future__ import annotations

from pathlib import Path

import pytest

from tests.queue.cheap import open_queue
from workbench.queue.queue import Queue


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def queue(home: Path) -> Queue:
    return open_queue(home)
