from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest

from workbench.errors import StoreError
from workbench.grid.table import save_parquet


def test_one_row_per_picture_and_one_column_per_axis(build: Any) -> None:
    axes: list[Any] = [
        {"field": "steps", "values": [4, 8, 12], "skip": [12]},
        {"settings": [{"label": "low", "set": {"guidance_scale": 2}}], "title": "Guide"},
    ]
    table = build({}, axes, seeds=[5, 9], failed=(1,), error="Boom.").frame()
    assert list(table.columns) == [
        "cell", "Steps", "Guide", "seed", "digest", "status", "reused", "seconds", "path", "warnings", "error",
    ]  # fmt: skip
    assert table["Steps"].tolist() == [4, 4, 8, 8]
    assert table["Guide"].tolist() == ["low"] * 4
    assert table["seed"].tolist() == [5, 9, 5, 9]
    assert table["status"].tolist() == ["done", "done", "failed", "failed"]
    assert table["error"].tolist() == ["", "", "Boom.", "Boom."]
    assert table["digest"].str.len().eq(64).all()
    assert table["digest"].is_unique


def test_an_axis_named_like_a_column_is_told_apart(build: Any) -> None:
    table = build({}, [{"field": "seed", "values": [1, 2]}]).frame()
    assert table["Seed (axis)"].tolist() == table["seed"].tolist() == [1, 2]


def test_parquet_gives_the_table_back(build: Any, tmp_path: Path) -> None:
    result = build(
        {"prompt": "a red 猫"}, [{"replace": "red", "values": "rot, größer"}, {"field": "width", "values": [None, 64]}]
    )
    path = save_parquet(result, tmp_path / "cells.parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet(path), result.frame())
    assert [entry.name for entry in tmp_path.iterdir()] == ["cells.parquet"]


def test_a_folder_that_is_a_file_is_one_sentence(build: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StoreError, match="out"):
        build({}, [{"field": "steps", "values": [4]}]).save(tmp_path / "out")
