"""Upscaling as an operation: kept by its digest, refined in tiles by the embedded model, at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import delete
from typer.testing import CliRunner

from tests.conftest import TinyKlein
from tests.engine.pictures import difference, draw
from tests.upscale.weights import compact, rrdb, save
from workbench.cli import app
from workbench.engine.events import CancelToken, Step
from workbench.errors import Cancelled, InputError, ModelError, StoreError
from workbench.metadata import RecallError, recall
from workbench.session import Session
from workbench.settings import settings
from workbench.store import read_picture
from workbench.store.tables import PictureRow
from workbench.upscale import Refine, Upscale, upscale, upscalers
from workbench.upscale.layout import UpscaleError
from workbench.upscale.operation import resolve_upscale
from workbench.upscale.upscaler import Upscaler


@pytest.fixture
def session(tiny_klein: TinyKlein, tmp_path: Path) -> Session:
    home = tmp_path / "home"
    save(home / "upscalers" / "dense.safetensors", rrdb())
    save(home / "upscalers" / "small.safetensors", compact())
    return Session(settings(home=home, models=tiny_klein.root, device="cpu", batch_size=2))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    draw(1, 72, 56).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_the_network_then_lanczos_down_to_the_wanted_size(session: Session, photo: Path) -> None:
    made = upscale(session, photo, upscaler="dense", scale=2.5)
    assert made.picture.size == (180, 140)
    network = Upscaler(session.settings.home / "upscalers" / "dense.safetensors")
    expected = network(Image.open(photo)).resize((180, 140), Image.Resampling.LANCZOS)
    assert difference(made.picture, expected) == 0
    assert upscale(session, photo, upscaler="dense").picture.size == (288, 224)
    plain = upscale(session, photo)
    assert difference(plain.picture, Image.open(photo).resize((144, 112), Image.Resampling.LANCZOS)) == 0
    assert upscalers(session.settings.home) == ["lanczos", "dense", "small"]


def test_a_result_is_kept_and_says_how_it_was_made(session: Session, photo: Path, tmp_path: Path) -> None:
    made = upscale(session, photo, upscaler="small")
    again = upscale(session, photo, upscaler="small", scale=2)
    assert again.reused
    assert again.path == made.path
    assert difference(again.picture, made.picture) == 0
    picture, metadata = read_picture(made.path)
    assert difference(picture, made.picture) == 0
    assert metadata["digest"] == made.digest
    assert metadata["operation"] == "upscale"
    # what the file says is enough to make it again elsewhere, given the same files
    request = Upscale.parse(metadata["request"])
    second = upscale(session, request, again=True, tile=24)
    assert (second.digest, second.reused) == (made.digest, False)
    assert difference(second.picture, made.picture) <= 1
    other = save(tmp_path / "small.safetensors", compact(), seed=9)
    assert upscale(session, photo, upscaler=str(other)).digest != made.digest
    made.path.write_bytes(made.path.read_bytes()[:100])
    assert not upscale(session, photo, upscaler="small").reused


def test_a_picture_of_the_store_is_named_by_its_digest(session: Session) -> None:
    result = session.generate(model="tiny-base", width=64, height=64, steps=2)
    made = upscale(session, result.digest, upscaler="small")
    assert made.picture.size == (128, 128)
    assert read_picture(made.path)[1]["made_from"]["digest"] == result.digest
    assert read_picture(made.path)[1]["made_from"]["recipe"]["steps"] == 2


def test_the_gallery_has_it_with_its_lineage(session: Session, photo: Path) -> None:
    result = session.generate(model="tiny-base", prompt="a red circle", seed=5, width=64, height=64, steps=2)
    speed = session.store.seconds_per_unit("tiny-base")
    made = upscale(session, result.digest, upscaler="small")
    gallery = session.gallery
    entry = gallery.search("model:small").entries[0]
    assert (entry.digest, entry.path) == (made.digest, made.path)
    assert (entry.recipe.width, entry.recipe.prompt, entry.recipe.seed) == (128, "a red circle", 5)
    lineage = gallery.lineage(made.digest)
    assert [source.made_here for source in lineage.sources] == [(result.digest,)]
    assert gallery.lineage(result.digest).children == (made.digest,)
    assert "a red circle" in lineage.to_text()
    assert gallery.thumbnail(made.digest)[1]
    # a lost row is restored from the file; a deleted picture is made anew
    with session.store.transaction() as database:
        database.execute(delete(PictureRow).where(PictureRow.digest == made.digest))
    restored = session.store.get(made.digest)
    assert restored is not None
    assert restored.environment["operation"] == "upscale"
    gallery.delete([made.digest])
    assert not upscale(session, result.digest, upscaler="small").reused
    # a refined one is a picture of the model that refined it, and does not count for its speed
    refine = Refine(model="tiny-base", prompt="paper", strength=0.5, steps=4, tile=64, seed=9)
    drawn = gallery.show(upscale(session, result.digest, refine=refine).digest)
    assert (drawn.recipe.model, drawn.recipe.prompt, drawn.recipe.seed) == ("tiny-base", "paper", 9)
    assert drawn.weights == session.catalog.model("tiny-base").fingerprint
    assert session.store.seconds_per_unit("tiny-base") == speed
    # a photograph of somewhere else
    plain = gallery.show(upscale(session, photo).digest)
    assert (plain.recipe.model, plain.recipe.prompt, plain.weights) == ("lanczos", "", "")


def test_recall_gives_the_recipe_of_what_was_enlarged(session: Session, photo: Path) -> None:
    result = session.generate(model="tiny-base", prompt="a red circle", width=64, height=64, steps=2)
    made = upscale(session, result.digest)
    found = recall(made.path)
    assert (found.recipe.model, found.digest) == ("tiny-base", result.digest)
    assert "was enlarged" in found.notes[0]
    with pytest.raises(RecallError):
        recall(upscale(session, photo).path)
    with pytest.raises(StoreError, match="was enlarged"):
        session.verify(made.path)


def test_a_refine_pass_draws_every_tile_and_leaves_nothing_behind(session: Session, photo: Path) -> None:
    fields: dict[str, Any] = {
        "upscaler": "small",
        "refine": Refine(model="tiny-base", strength=0.4, steps=5, tile=64, overlap=16),
    }
    steps: set[str] = set()
    made = upscale(
        session, photo, **fields, listen=lambda event: steps.add(event.digest) if isinstance(event, Step) else None
    )
    assert made.picture.size == (144, 112)
    assert len(steps) == 6  # 3 x 2 tiles, each with a digest of its own
    plain = upscale(session, photo, upscaler="small")
    assert difference(made.picture, plain.picture) > 5
    assert made.digest != plain.digest
    home = session.settings.home
    assert not list((home / "cache" / "refine").glob("*.png"))
    assert [path.stem for path in (home / "inputs").glob("*/*.png")] == [made.resolved.request.picture]
    assert {picture.digest for picture in session.store.recent()} == {made.digest, plain.digest}  # no tile
    again = upscale(session, photo, **fields, again=True)
    assert difference(again.picture, made.picture) == 0


def test_one_tile_that_covers_all_is_the_recipe_from_picture_to_picture(session: Session, tmp_path: Path) -> None:
    from workbench.upscale.refine import tile_seed

    draw(2, 64, 96).save(tmp_path / "small.png")
    own = Refine(model="tiny-base", prompt="a circle", strength=0.6, steps=5, tile=96, seed=3)
    made = upscale(session, tmp_path / "small.png", scale=1, refine=own)
    recipe = own.recipe().replace(image=str(tmp_path / "small.png"), strength=0.6, seed=tile_seed(3, 0, 0))
    assert difference(made.picture, session.generate(recipe).picture) == 0


def test_sides_that_are_no_multiple_are_refined_whole(session: Session, tmp_path: Path) -> None:
    draw(2, 70, 150).save(tmp_path / "odd.png")
    made = upscale(
        session, tmp_path / "odd.png", scale=1, refine=Refine(model="tiny-base", strength=0.5, steps=4, tile=96)
    )
    assert made.picture.size == (70, 150)


def test_a_stopped_refine_pass_goes_on_where_it_was(session: Session, photo: Path) -> None:
    fields: dict[str, Any] = {
        "scale": 2,
        "refine": Refine(model="tiny-base", strength=0.5, steps=4, tile=64, overlap=8),
    }
    token, drawn = CancelToken(), []

    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == event.steps:
            drawn.append(event.digest)
            if len(drawn) == 4:
                token.cancel()

    with pytest.raises(Cancelled):
        upscale(session, photo, **fields, listen=stop, cancel=token)
    kept = len(list((session.settings.home / "cache" / "refine").glob("*.png")))
    assert 1 <= kept < 6
    later: set[str] = set()
    upscale(session, photo, **fields, listen=lambda event: later.add(event.digest) if isinstance(event, Step) else None)
    assert len(later) == 6 - kept


def test_what_cannot_be_done_is_refused_before_any_work(session: Session, photo: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"upscaler": "smal"}, "Did you mean 'small'"),
        ({"upscaler": "small", "scale": 3}, "more than that of the upscaler"),
        ({"scale": 0.5}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"sharp": 1}, "no field 'sharp'"),
        ({"refine": {"model": "tiny-base", "strenght": 0.2}}, "Did you mean 'strength'"),
        ({"refine": {"model": "tiny-base", "strength": 0.1, "steps": 4}}, "nothing would be refined"),
        ({"refine": {"model": "tiny-base", "tile": 64, "overlap": 64}}, "cannot share"),
    ]
    for fields, message in cases:
        with pytest.raises(UpscaleError, match=message):
            upscale(session, photo, **fields)
    with pytest.raises(ModelError, match="no model"):
        upscale(session, photo, refine={"model": "nothing"})
    with pytest.raises(InputError, match="does not exist"):
        upscale(session, "nowhere.png")
    large = Image.new("RGB", (4000, 4000))
    with pytest.raises(UpscaleError, match="megapixels"):
        resolve_upscale(Upscale(picture=session.catalog.inputs.add(large).digest, scale=4), session.catalog)
    assert not session.store.recent()


def test_the_command_line(session: Session, photo: Path, tmp_path: Path) -> None:
    home = str(session.settings.home)
    out = tmp_path / "out.png"
    done = CliRunner().invoke(
        app, ["upscale", str(photo), "-m", "small", "--home", home, "--out", str(out), "--json", "--device", "cpu"]
    )
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["width"], facts["height"], facts["path"]) == (144, 112, str(out))
    assert np.asarray(Image.open(out)).shape == (112, 144, 3)
    done = CliRunner().invoke(app, ["upscale", str(photo), "--strength", "0.5", "--home", home])
    assert done.exit_code == 2
    assert "--refine" in done.stderr
    done = CliRunner().invoke(app, ["upscale", str(photo), "--home", home, "--out", "x.jpg"])
    assert (done.exit_code, "PNG" in done.stderr) == (2, True)
