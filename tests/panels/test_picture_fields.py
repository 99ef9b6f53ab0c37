"""References, image, mask and margins on the form: typed, uploaded, from the history, painted."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.panels import GenerationPanel
from workbench.panels.mask import MaskBrush
from workbench.recipe import Recipe
from workbench.session import Session

WAIT = 120.0  # seconds; only a hang reaches it


@pytest.fixture
def panel(session: Session, small: Recipe) -> GenerationPanel:
    return GenerationPanel(session, small)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def upload(widget: Any, path: Path) -> None:
    content = path.read_bytes()
    file = {"name": path.name, "type": "image/png", "size": len(content), "content": memoryview(content)}
    widget.value = (file | {"last_modified": datetime.now(UTC)},)
    assert widget.value == ()  # the upload is not kept in the notebook's state as well


def names(panel: GenerationPanel) -> list[str]:
    return [part.picture for part in panel.form.recipe.references]


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_an_uploaded_reference_is_kept_and_shown(panel: GenerationPanel, session: Session, photo: Path) -> None:
    fields = panel.form.pictures
    fields.add_button.click()
    assert not names(panel)  # an empty row is no reference
    box = fields.references.children[0].children[0]
    upload(box.upload, photo)
    digest = session.catalog.picture(str(photo)).digest
    assert box.value == digest
    assert box.thumb.value
    assert names(panel) == [digest]
    assert panel.form.more.titles[0] == "Pictures (1)"  # told while the fields are folded
    fields.references.children[0].children[2].click()
    assert panel.form.more.titles[0] == "Pictures"
    assert not names(panel)


def test_a_file_that_is_no_picture_is_told_in_the_banner(panel: GenerationPanel, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    upload(panel.form.pictures.image.upload, tmp_path / "text.png")
    assert "cannot be read" in panel.banner.text
    assert panel.form.recipe.image is None


def test_a_picture_is_used_as_reference_and_as_image(panel: GenerationPanel, session: Session) -> None:
    assert panel.reference_button.disabled
    panel.generate_button.click()
    assert panel.wait(WAIT)
    panel.reference_button.click()
    panel.image_button.click()
    recipe = panel.form.recipe
    assert recipe.image == recipe.references[0].picture
    shown = Image.open(io.BytesIO(panel.picture.value)).convert("RGB")
    assert session.catalog.inputs.open(recipe.image or "").tobytes() == shown.tobytes()
    panel.form.pictures.strength.widget.value = "0.5"
    panel.generate_button.click()
    assert panel.wait(WAIT)
    assert panel.banner.text == ""
    stored = session.store.get(panel.history.current)
    assert stored is not None
    assert (stored.recipe.task, stored.recipe.strength) == ("image-to-image", 0.5)


def test_what_is_painted_becomes_the_mask(panel: GenerationPanel, session: Session, photo: Path) -> None:
    fields = panel.form.pictures
    fields.paint_button.value = True
    assert "no image to paint on" in panel.banner.text
    assert not fields.paint_button.value
    fields.image.value = str(photo)
    fields.paint_button.value = True
    assert fields.brush is not None
    fields.brush.mask = Image.new("L", (64, 64), 255)
    mask = panel.form.recipe.mask
    assert mask is not None
    assert np.asarray(session.catalog.inputs.open(mask)).min() == 255
    fields.paint_button.value = False
    assert fields.brush is None
    assert panel.form.recipe.mask == mask


def test_another_image_drops_the_mask_of_the_first(panel: GenerationPanel, photo: Path) -> None:
    fields = panel.form.pictures
    fields.image.value = fields.mask.value = str(photo)
    fields.start_from("other.png")
    assert (panel.form.recipe.image, panel.form.recipe.mask) == ("other.png", None)


def test_a_brush_gives_the_mask_at_the_pictures_size(photo: Path) -> None:
    brush = MaskBrush(photo)
    assert (brush.width, brush.height) == (64, 64)
    assert np.asarray(brush.mask).max() == 0  # nothing is painted
    levels = np.zeros((64, 64), np.uint8)
    levels[:, 32:] = 255
    brush.painted = png(Image.fromarray(levels))  # as the browser sends it
    assert (np.asarray(brush.mask) == levels).all()
    brush.softness = 4
    soft = np.asarray(brush.mask)
    assert len(np.unique(soft)) > 10
    assert (soft[:, 0].max(), soft[:, -1].min()) == (0, 255)
    brush.show(Image.new("RGB", (80, 48)))
    assert brush.mask.size == (80, 48)
    assert np.asarray(brush.mask).max() == 0


def test_a_mask_given_to_a_brush_comes_back(photo: Path, tmp_path: Path) -> None:
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    assert np.asarray(MaskBrush(photo, tmp_path / "mask.png").mask).min() == 255
    with pytest.raises(ValueError, match="32"):
        MaskBrush(photo, Image.new("L", (32, 32)))
