"""FLUX.1's own fields through session, store, file, grid and verification."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.pictures import draw
from tests.flux1_models import write_control_lora, write_flux1, write_redux
from workbench.grid import Grid
from workbench.recipe import Recipe
from workbench.recipe.controls import REDUX
from workbench.session import Session
from workbench.settings import settings
from workbench.store import read_picture


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    home, models = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("models")
    write_flux1(models / "dev", seed=1)
    write_redux(home / "models" / REDUX, seed=4)
    write_control_lora(home / "adapters" / "canny.safetensors", models / "dev", seed=2)
    return Session(settings(home=home, models=models, device="cpu"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.png")):
        draw(number, 64, 80).save(tmp_path / name)
    return tmp_path


def small(**fields: object) -> Recipe:
    return Recipe(model="dev", prompt="a red circle", width=64, height=64, steps=2, max_sequence_length=32).replace(
        **fields
    )


def test_redux_and_control_are_kept_and_verified(session: Session, photos: Path) -> None:
    variation = small(redux=[photos / "a.png", {"picture": str(photos / "b.png"), "weight": 0.25}])
    control = small(control=photos / "a.png", control_type="canny", adapters=[{"name": "canny"}])
    for recipe, words in ((variation, "Redux"), (control, "Control: canny")):
        made = session.generate(recipe)
        path = session.store.path(made.digest)
        assert session.verify(path).ok
        _, metadata = read_picture(path)
        assert session.generate(Recipe.parse(metadata["recipe"])).reused
        assert str(photos) not in str(metadata)
        assert words.encode() in path.read_bytes()


def test_a_grid_over_redux_and_control(session: Session, photos: Path) -> None:
    a, b = str(photos / "a.png"), str(photos / "b.png")
    grid = Grid(
        small(), [{"field": "redux", "values": [[], [a], [a, b]]}, {"field": "true_cfg_scale", "values": [1, 2]}]
    )
    done = grid.run(session)
    assert (done.computed, done.failed) == (6, 0)
    assert done.plan.dimensions[0].labels == ("none", "a.png", "a.png + b.png")
    assert Grid.from_yaml(grid.to_yaml()) == grid
    assert done.frame()["Redux"].tolist()[-1] == "a.png + b.png"
