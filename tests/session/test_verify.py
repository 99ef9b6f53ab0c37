from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workbench.errors import ModelError, StoreError
from workbench.recipe import Recipe
from workbench.session import Session
from workbench.settings import settings
from workbench.store import read_picture, write_picture

RECIPE = Recipe(model="tiny-base", prompt="a red circle", width=64, height=64, steps=2)


@pytest.fixture(scope="module")
def session(tiny_klein: Any, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(settings(home=tmp_path_factory.mktemp("home"), models=tiny_klein.root, device="cpu"))


@pytest.fixture
def picture(session: Session, tmp_path: Path) -> Path:
    """A copy of a picture that the session made."""
    result = session.generate(RECIPE)
    return Path(shutil.copy(session.store.path(result.digest), tmp_path / "picture.png"))


def test_an_honest_picture_passes(session: Session, picture: Path) -> None:
    found = session.verify(picture)
    assert found.ok
    assert (found.intact, found.equal, found.max_difference, found.changed_pixels) == (True, True, 0, 0)
    assert found.made_on == found.checked_on
    assert found.sentence == "The same picture: the largest difference is 0 of 255 levels."


def test_pictures_made_in_a_batch_pass(session: Session) -> None:
    recipes = [RECIPE.replace(seed=seed, steps=2 + seed % 2) for seed in range(10, 15)]
    for result in session.run(recipes):
        found = session.verify(session.store.path(result.digest))
        assert found.ok
        assert found.max_difference <= 1


@pytest.mark.parametrize("levels", [1, 2, 90])
def test_one_changed_pixel_is_found(session: Session, picture: Path, levels: int) -> None:
    pixels, metadata = read_picture(picture)
    shade = pixels.getpixel((5, 9))
    assert isinstance(shade, tuple)
    red = shade[0] + levels if shade[0] < 128 else shade[0] - levels
    pixels.putpixel((5, 9), (int(red), *shade[1:]))
    _rewrite(picture, pixels, metadata)
    found = session.verify(picture)
    assert not found.ok
    assert not found.intact
    assert found.max_difference == levels
    assert found.sentence.startswith("NOT the same picture")
    assert found.sentence.endswith("changed after the file was written.")
    assert found.changed_pixels == (levels > 1)


def test_a_forged_hash_does_not_help(session: Session, picture: Path) -> None:
    pixels, metadata = read_picture(picture)
    pixels.paste((255, 0, 0), (10, 10, 20, 20))
    write_picture(picture, pixels, metadata)  # writes the hash of the changed pixels
    found = session.verify(picture)
    assert found.intact
    assert not found.equal
    assert 0 < found.changed_pixels <= 100


def test_a_resized_picture_is_found(session: Session, picture: Path) -> None:
    pixels, metadata = read_picture(picture)
    write_picture(picture, pixels.resize((32, 32)), metadata)
    found = session.verify(picture)
    assert (found.max_difference, found.changed_pixels) == (255, 32 * 32)


def test_an_edited_recipe_is_found(session: Session, picture: Path) -> None:
    pixels, metadata = read_picture(picture)
    metadata["recipe"]["prompt"] = "a blue square"
    write_picture(picture, pixels, metadata)
    with pytest.raises(StoreError, match="metadata was changed"):
        session.verify(picture)


def test_other_weights_are_named(session: Session, picture: Path) -> None:
    pixels, metadata = read_picture(picture)
    write_picture(picture, pixels, metadata | {"weights": "0" * 64})
    with pytest.raises(ModelError, match=r"other weights of model 'tiny-base': 000000000000 then, [0-9a-f]{12} here"):
        session.verify(picture)


def test_a_model_that_is_not_here_is_named(session: Session, picture: Path) -> None:
    pixels, metadata = read_picture(picture)
    metadata["recipe"]["model"] = "tiny-lost"
    write_picture(picture, pixels, metadata)
    with pytest.raises(ModelError, match="no model 'tiny-lost'"):
        session.verify(picture)


@pytest.mark.parametrize("damage", [{"recipe": None}, {"recipe": "a red circle"}, {"digest": 7}])
def test_pictures_that_do_not_say_how_they_were_made_are_refused(
    session: Session, picture: Path, damage: dict[str, Any]
) -> None:
    pixels, metadata = read_picture(picture)
    write_picture(picture, pixels, metadata | damage)
    with pytest.raises(StoreError, match="does not say how it was made"):
        session.verify(picture)
    pixels.save(picture)
    with pytest.raises(StoreError, match="does not say how it was made"):
        session.verify(picture)


def _rewrite(path: Path, pixels: Image.Image, metadata: dict[str, Any]) -> None:
    """Save as an image editor would: new pixels, the text chunks as they were."""
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_text("workbench", json.dumps(metadata))
    pixels.save(path, pnginfo=chunks)
