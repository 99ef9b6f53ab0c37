"""Caches as an axis: what stands beside the columns, what the caption says, and pictures that differ."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import GridError
from workbench.grid import Grid
from workbench.grid.caption import caption
from workbench.models import ModelCatalog
from workbench.session import Session

BASE: dict[str, Any] = {"model": "tiny-base", "prompt": "a red circle", "steps": 6, "width": 64, "height": 64}
VALUES = "none, taylorseer:interval=2:warmup=1, magcache:ratios=1/1.1/1"


def test_columns_are_labelled_and_digests_differ(tiny_catalog: ModelCatalog) -> None:
    plan = Grid(BASE, [{"field": "cache", "values": VALUES}]).expand(tiny_catalog)
    labels = list(plan.dimensions[0].labels)
    assert labels == ["exact", "taylorseer:interval=2:warmup=1", "magcache:3 ratios"]
    assert len({resolved.digest for cell in plan.cells for resolved in cell.resolved}) == 3


def test_a_shared_cache_stands_in_the_caption(tiny_catalog: ModelCatalog) -> None:
    base: dict[str, Any] = BASE | {"cache": "taylorseer:interval=2"}
    plan = Grid(base, [{"field": "seed", "values": "1, 2"}]).expand(tiny_catalog)
    assert "Cache taylorseer:interval=2 (approximate)" in caption(plan)
    plan = Grid(BASE, [{"field": "seed", "values": "1, 2"}]).expand(tiny_catalog)
    assert "Cache" not in caption(plan)


def test_a_mode_that_is_none_is_refused_before_anything_runs() -> None:
    with pytest.raises(GridError, match="there is no cache 'teacache'"):
        Grid(BASE, [{"field": "cache", "values": "none, teacache"}])


def test_verify_says_that_a_picture_is_approximate(tiny_klein: Any, tmp_path: Any) -> None:
    from workbench.settings import Settings

    session = Session(Settings(home=tmp_path, models=tiny_klein.root, device="cpu"))
    digest = session.generate(**BASE, cache="taylorseer:interval=2").digest
    found = session.verify(session.store.path(digest))
    assert found.ok
    assert found.sentence.endswith("It is approximate, drawn with the cache taylorseer:interval=2.")
    exact = session.verify(session.store.path(session.generate(**BASE).digest))
    assert "approximate" not in exact.sentence
