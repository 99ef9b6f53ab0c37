"""The caption editor: its core on real files, and the panel as a thin view of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from finetune.data.book import CaptionBook
from finetune.data.errors import DataConfigError, DataError
from finetune.panels.captions import CaptionPanel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cats"
    (root / "reg").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (80, 80), (number, 0, 0)).save(root / f"{number}.png")
        (root / f"{number}.txt").write_text(f"a cat {number}\n", encoding="utf-8")
    Image.new("RGB", (80, 80), "blue").save(root / "reg" / "r.png")
    (root / "reg" / "r.txt").write_text("a dog\n", encoding="utf-8")
    return root


def on_disk(folder: Path) -> list[str]:
    return [(folder / f"{number}.txt").read_text(encoding="utf-8") for number in range(3)]


def test_changes_are_made_undone_and_saved(folder: Path) -> None:
    book = CaptionBook(folder)
    own = book.ids[:3]
    assert book.ids == ("cats/0.png", "cats/1.png", "cats/2.png", "cats/reg/r.png")
    assert book.replace(book.ids, "cat", "tiger") == 3
    assert book.prefix(own, "photo of ") == 3
    assert book.prefix(own, "photo of ") == 0  # there already
    assert book.suffix(own[:1], ", sleeping") == 1
    assert book.set(own[1], "something else") == 1
    assert list(book.captions.values()) == [
        "photo of a tiger 0, sleeping", "something else", "photo of a tiger 2", "a dog",
    ]  # fmt: skip
    assert on_disk(folder)[0] == "a cat 0\n"  # nothing is written yet
    assert book.undo() == 1
    assert book.captions[own[1]] == "photo of a tiger 1"
    assert book.changed == own
    assert [path.name for path in book.save()] == ["0.txt", "1.txt", "2.txt"]
    assert on_disk(folder) == ["photo of a tiger 0, sleeping\n", "photo of a tiger 1\n", "photo of a tiger 2\n"]
    assert book.changed == ()
    assert book.undo() == 1  # undoing goes on after saving
    assert book.changed == own[:1]
    while book.undo():
        pass
    assert book.captions[own[0]] == "a cat 0"


def test_the_trigger_goes_where_training_puts_it_and_spares_regularisation(folder: Path) -> None:
    (folder / "0.txt").write_text("a [trigger] cat", encoding="utf-8")
    (folder / "1.txt").unlink()
    book = CaptionBook(folder)
    assert book.trigger(book.ids, "wug") == 3
    assert list(book.captions.values()) == ["a wug cat", "wug", "wug, a cat 2", "a dog"]
    for wrong in ("", "  "):
        with pytest.raises(DataError, match="no trigger word"):
            book.trigger(book.ids, wrong)
    with pytest.raises(DataConfigError, match="trigger_template"):
        book.trigger(book.ids, "wug", "{caption}")
    with pytest.raises(DataError, match="nothing to find"):
        book.replace(book.ids, "", "x")


def test_a_file_that_changed_meanwhile_is_not_overwritten(folder: Path) -> None:
    book = CaptionBook(folder)
    book.prefix(book.ids, "x ")
    (folder / "2.txt").write_text("somebody else's work", encoding="utf-8")
    with pytest.raises(DataError, match=r"cats/2\.png"):
        book.save()
    assert on_disk(folder) == ["a cat 0\n", "a cat 1\n", "somebody else's work"]


def test_metadata_keep_their_other_lines_and_fields(folder: Path) -> None:
    lines = [
        '{"file_name":"0.png",  "text": "zero", "licence": "CC0"}',
        '{"file_name": "./1.png", "text": ["one", "uno"], "n": 1.50}',
        "",
        '{"file_name": "2.png"}',
    ]
    path = folder / "metadata.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    book = CaptionBook(folder)
    assert list(book.captions.values()) == ["zero", "one\nuno", ""]
    book.set(book.ids[1], "eins\nuno\nune")
    book.set(book.ids[2], "zwei „2“")
    assert book.save() == [path]
    now = path.read_text(encoding="utf-8").splitlines()
    assert (now[0], now[2]) == (lines[0], "")
    assert json.loads(now[1]) == {"file_name": "./1.png", "text": ["eins", "uno", "une"], "n": 1.5}
    assert now[3] == '{"file_name": "2.png", "text": "zwei „2“"}'
    assert list(CaptionBook(path).captions.values()) == ["zero", "eins\nuno\nune", "zwei „2“"]


def test_the_panel_edits_what_is_selected(folder: Path) -> None:
    panel = CaptionPanel(folder)
    assert [item["caption"] for item in panel.gallery.items] == ["a cat 0", "a cat 1", "a cat 2", "a dog"]
    panel.gallery.selected = ["cats/1.png"]
    assert (panel.caption.value, panel.caption.disabled) == ("a cat 1", False)
    panel.caption.value = "a lion"
    assert panel.book.changed == ("cats/1.png",)
    assert [item["changed"] for item in panel.gallery.items] == [False, True, False, False]
    panel.gallery.selected = ["cats/0.png", "cats/2.png"]
    assert panel.caption.disabled
    panel.find.value, panel.by.value = "a cat", "my cat"
    panel.buttons["replace"].click()
    assert "2 changed. 3 not saved." in panel.status.value
    panel.addition.value = ", asleep"
    panel.buttons["after"].click()
    panel.undo.click()
    panel.word.value = "wug"
    panel.none.click()
    panel.buttons["trigger"].click()
    panel.save.click()
    assert on_disk(folder) == ["wug, my cat 0\n", "wug, a lion\n", "wug, my cat 2\n"]
    assert (folder / "reg" / "r.txt").read_text(encoding="utf-8") == "a dog\n"
    assert panel.status.value == "3 files written."


def test_what_goes_wrong_is_said_in_the_panel(folder: Path) -> None:
    panel = CaptionPanel(folder)
    panel.buttons["replace"].click()
    assert "nothing to find" in panel.banner.text
    panel.buttons["before"].click()
    assert "nothing to put there" in panel.banner.text
    panel.undo.click()
    assert (panel.banner.text, panel.status.value) == ("", "Nothing changed.")
    with pytest.raises(DataError, match="There is no folder"):
        CaptionPanel(folder / "none")


def test_thumbnails_come_as_asked_for(folder: Path) -> None:
    panel = CaptionPanel(folder)
    sent: list[tuple[dict[str, str], list[bytes]]] = []
    panel.gallery.send = lambda content, buffers=(): sent.append((content, list(buffers)))
    for name in ("cats/2.png", "cats/none.png"):
        panel.gallery._on_message(None, {"type": "want", "id": name}, [])
    assert [content["type"] for content, _ in sent] == ["pixels", "gone"]
    assert sent[0][1][0].startswith(b"\x89PNG")
