"""The gallery panel without a browser: press, tick, type, and look at the traits and messages."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.engine.events import Result
from workbench.panels.gallery import GalleryPanel
from workbench.panels.worker import planner_of, worker_of
from workbench.recipe import Recipe, ResolvedRecipe
from workbench.session import Session
from workbench.settings import settings
from workbench.store.scores import keep_scores

PROMPTS = ["a red circle", "a blue square", "a red star", "a green heart", "<b>bold</b> words"]


@pytest.fixture
def panel(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[GalleryPanel]:
    """A panel over five pictures, three on a page; what its views are sent is kept in `sent`."""
    session = Session(settings(home=tmp_path / "home", device="cpu"))
    for seed, prompt in enumerate(PROMPTS):
        recipe = Recipe(
            model="tiny", prompt=prompt, seed=seed, width=64, height=64, steps=4 + seed, guidance_scale=1.0,
            max_sequence_length=32, precision="float32",
        )  # fmt: skip
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
        resolved = ResolvedRecipe(recipe=recipe, weights="ab" * 32)
        session.store.add(replace(Result(0, recipe, resolved), picture=Image.fromarray(pixels)))
    made = GalleryPanel(session, page=3)
    yield made
    assert made.banner.text == "", made.banner.text
    made.close()
    assert planner_of(session).close(60)
    assert worker_of(session).close(60)


def seeds(panel: GalleryPanel) -> list[int]:
    return [panel.gallery.show(item["id"]).recipe.seed for item in panel.wall.items]


def tick(panel: GalleryPanel, *places: int) -> list[str]:
    panel.wall.chosen = [panel.wall.items[place]["id"] for place in places]
    return list(panel.wall.chosen)


def messages(widget: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[bytes]]]:
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    monkeypatch.setattr(type(widget), "send", lambda self, content, buffers=None: sent.append((content, buffers or [])))
    return sent


def test_a_page_at_a_time(panel: GalleryPanel) -> None:
    assert seeds(panel) == [4, 3, 2]
    assert panel.count.value.startswith("1 to 3 of 5")
    assert panel.back.disabled
    panel.forth.click()
    assert seeds(panel) == [1, 0]
    assert panel.forth.disabled
    panel.back.click()
    assert seeds(panel) == [4, 3, 2]
    panel.sort.value = "created"
    assert seeds(panel) == [0, 1, 2]


def test_a_query_starts_on_its_first_page(panel: GalleryPanel) -> None:
    panel.forth.click()
    panel.query.value = "red"
    assert seeds(panel) == [2, 0]
    assert panel.total == 2
    panel.query.value = "nowhere"
    assert panel.wall.items == []
    assert panel.wall.nothing == "Nothing found."


def test_a_wrong_query_says_where_and_the_page_stays(panel: GalleryPanel) -> None:
    panel.query.value = "red stesp>4"
    assert "there is no field 'stesp'" in panel.banner.text
    assert panel.pointer.value == "<pre class='wb-pointer'>red stesp&gt;4\n    ^</pre>"
    assert seeds(panel) == [4, 3, 2]
    panel.query.value = "red steps>4"
    assert (panel.banner.text, panel.pointer.value) == ("", "")
    assert seeds(panel) == [2]


def test_marks_for_what_is_ticked(panel: GalleryPanel) -> None:
    digests = tick(panel, 0, 2)
    panel.star_button.click()
    assert [item["starred"] for item in panel.wall.items] == [True, False, True]
    assert panel.wall.chosen == digests
    panel.name.value = "Good"
    panel.tag_button.click()
    panel.board_button.click()
    assert panel.gallery.digests("star tag:good board:good") == digests
    panel.star_button.click()
    assert panel.gallery.digests("star") == []
    tick(panel)
    panel.star_button.click()
    assert "No picture is ticked" in panel.banner.text
    panel.banner.clear()


def test_opening_shows_the_recipe_to_copy_and_takes_a_note(panel: GalleryPanel) -> None:
    digest = panel.wall.items[0]["id"]
    keep_scores(panel.gallery.store, "clip", "1", {digest: {"similarity": 0.25}})
    panel.wall.received({"type": "open", "id": digest})
    assert panel.wall.current == digest
    assert panel.detail.layout.display == "flex"
    assert Recipe.from_yaml(panel.detail.copy_button.text) == panel.gallery.show(digest).recipe
    assert "<b>bold</b>" not in panel.detail.recipe.value
    assert "clip.similarity 0.25" in panel.detail.facts.value
    assert Image.open(io.BytesIO(panel.detail.picture.value)).size == (64, 64)
    panel.detail.note.value = "look at the <hands>"
    assert panel.gallery.digests("note:hands") == [digest]
    panel.star_button.click()  # with nothing ticked, the open picture is meant
    assert panel.gallery.show(digest).starred
    panel.wall.received({"type": "open", "id": panel.wall.items[1]["id"]})
    assert panel.detail.note.value == ""
    assert panel.gallery.show(digest).note == "look at the <hands>"
    panel.detail.close_button.click()
    assert panel.detail.layout.display == "none"


def test_a_recipe_goes_to_the_generation_panel(panel: GalleryPanel) -> None:
    panel.wall.received({"type": "open", "id": panel.wall.items[2]["id"]})
    assert panel.generation is None
    panel.detail.send_button.click()
    assert panel.generation is not None
    assert panel.generation.form.recipe.prompt == "a red star"
    assert panel.generation in panel._below.children
    assert panel.generation.wait(60)


def test_the_trash_and_back(panel: GalleryPanel) -> None:
    (digest,) = tick(panel, 0)
    panel.delete_button.click()
    assert seeds(panel) == [3, 2, 1]
    assert panel.wall.chosen == []
    panel.query.value = "is:trash"
    assert seeds(panel) == [4]
    tick(panel, 0)
    panel.restore_button.click()
    assert panel.wall.items == []
    panel.query.value = ""
    assert seeds(panel) == [4, 3, 2]
    assert panel.gallery.show(digest).path.is_file()


def test_an_export_lies_in_the_home(panel: GalleryPanel) -> None:
    tick(panel, 0, 1)
    panel.export_button.click()
    (path,) = (panel.session.settings.home / "exports").iterdir()
    assert path.name in panel.said.value
    with zipfile.ZipFile(path) as file:
        assert len(file.namelist()) == 5


def test_several_are_compared_from_their_very_files(panel: GalleryPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    tick(panel, 0)
    panel.compare_button.click()
    assert "Less than two pictures" in panel.banner.text
    panel.banner.clear()
    assert panel.comparison.layout.display == "none"
    digests = tick(panel, 0, 2, 1)
    panel.compare_button.click()
    assert [item["id"] for item in panel.comparison.items] == digests
    assert panel.comparison.layout.display != "none"
    assert (panel.comparison.view["a"], panel.comparison.view["b"]) == (0, 1)
    sent = messages(panel.comparison, monkeypatch)
    panel.comparison._on_message(None, {"type": "want", "id": digests[1]}, [])
    panel.comparison._on_message(None, {"type": "want", "id": "0" * 64}, [])
    assert sent[0][0] == {"type": "pixels", "id": digests[1], "mime": "image/png"}
    assert sent[0][1] == [panel.gallery.show(digests[1]).path.read_bytes()]
    assert sent[1][0]["type"] == "gone"


def test_thumbnails_are_sent_when_they_are_wanted(panel: GalleryPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (panel.wall.items[place]["id"] for place in (0, 1))
    panel.gallery.show(second).path.unlink()
    panel.gallery.thumbnails.remove(second)
    sent = messages(panel.wall, monkeypatch)
    for identity in (first, second, "../../etc/passwd"):
        panel.wall._on_message(None, {"type": "want", "id": identity}, [])
    assert [content["type"] for content, _ in sent] == ["pixels", "gone", "gone"]
    assert sent[0][0]["mime"] == "image/webp"
    assert sent[0][1] == [panel.gallery.thumbnail(first)[1]]


def test_an_empty_store_says_what_will_come(tmp_path: Any) -> None:
    session = Session(settings(home=tmp_path / "home", device="cpu"))
    made = GalleryPanel(session)
    assert made.wall.nothing == "Pictures you make appear here."
    assert made.count.value.startswith("0 found")
    assert made.back.disabled
    assert made.forth.disabled
    made.close()
