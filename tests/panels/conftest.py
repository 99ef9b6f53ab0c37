"""A session on a tiny real model, shared by all tests of panels, as loading it is the slow part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from workbench.panels.worker import planner_of, worker_of
from workbench.recipe import Recipe
from workbench.session import Session
from workbench.settings import settings

SMALL: dict[str, Any] = {"model": "tiny-base", "width": 64, "height": 64, "steps": 2}


@pytest.fixture(scope="module")
def session(tiny_klein: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    home = tmp_path_factory.mktemp("home")
    made = Session(settings(home=home, models=tiny_klein.root, device="cpu"))
    yield made
    assert planner_of(made).close(60)
    assert worker_of(made).close(60)


@pytest.fixture
def small() -> Recipe:
    """A recipe that takes a moment."""
    return Recipe(prompt="a red dot", **SMALL)
