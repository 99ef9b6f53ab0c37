"""Recipes with pictures through store, recall and verification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.pictures import draw
from workbench.errors import InputError
from workbench.grid import Grid
from workbench.recipe import Recipe
from workbench.session import Session
from workbench.settings import settings
from workbench.store import read_picture

BASE = Recipe(model="tiny-base", prompt="a red circle", width=64, height=64, steps=2)


@pytest.fixture(scope="module")
def session(tiny_klein: Any, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(settings(home=tmp_path_factory.mktemp("home"), models=tiny_klein.root, device="cpu"))


def test_recall_from_the_file_and_verify(session: Session, tmp_path: Path) -> None:
    for number, name in enumerate(("a.png", "b.png")):
        draw(number, 64, 80).save(tmp_path / name)
    recipe = BASE.replace(references=[tmp_path / "a.png", tmp_path / "b.png"], image=tmp_path / "a.png", strength=0.7)
    made = session.generate(recipe)
    path = session.store.path(made.digest)
    assert session.verify(path).ok
    metadata = read_picture(path)[1]
    recalled = Recipe.parse(metadata["recipe"])
    assert session.generate(recalled).reused
    assert str(tmp_path) not in str(metadata)
    stored = session.store.get(made.digest)
    assert stored is not None
    assert stored.recipe == recalled


def test_a_file_that_was_overwritten_gives_another_picture(session: Session, tmp_path: Path) -> None:
    recipe = BASE.replace(references=tmp_path / "a.png")
    digests = []
    for number in (5, 6):
        draw(number, 64, 96).save(tmp_path / "a.png")
        session.catalog.inputs._known.clear()  # its memory is by modification time, which may not have moved yet
        digests.append(session.generate(recipe).digest)
    assert digests[0] != digests[1]


def test_elsewhere_the_inputs_must_be_given_once(session: Session, tiny_klein: Any, tmp_path: Path) -> None:
    draw(7, 96, 64).save(tmp_path / "a.png")
    made = session.generate(BASE.replace(references=tmp_path / "a.png"))
    other = Session(settings(home=tmp_path / "other", models=tiny_klein.root, device="cpu"))
    path = session.store.path(made.digest)
    with pytest.raises(InputError, match="no input of digest"):
        other.verify(path)
    other.catalog.inputs.add(tmp_path / "a.png")
    assert other.verify(path).ok


def test_estimates_count_references(session: Session, tmp_path: Path) -> None:
    draw(8, 64, 64).save(tmp_path / "a.png")
    session.generate(BASE.replace(seed=99))
    plain = session.estimate([BASE.replace(seed=100)]).seconds
    edit = session.estimate([BASE.replace(seed=100, references=[tmp_path / "a.png"] * 2)]).seconds
    assert plain is not None
    assert edit == pytest.approx(3 * plain)


def test_a_grid_over_references_and_strength(session: Session, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for number, name in enumerate(names):
        draw(number, 64, 64).save(name)
    grid = Grid(
        BASE.replace(image=names[0]),
        [{"field": "references", "values": [[], names[:1], names]}, {"field": "strength", "values": [0.5, 1]}],
    )
    done = grid.run(session)
    assert (done.computed, done.failed) == (6, 0)
    assert [dimension.labels for dimension in done.plan.dimensions] == [
        ("none", "a.png", "a.png + b.png"),
        ("0.5", "1"),
    ]
    assert Grid.from_yaml(grid.to_yaml()) == grid
    assert "a.png" in done.frame()["References"].tolist()
