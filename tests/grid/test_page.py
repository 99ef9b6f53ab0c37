from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.grid.page import page_data, render

EVIL = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>\"&\u2028"


class Page(HTMLParser):
    """Tags with their attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    @property
    def data(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.scripts[0])
        return value


def test_the_page_holds_every_cell_and_each_picture_once_and_exactly(build: Any) -> None:
    axes: list[Any] = [
        {"field": "model", "values": "klein-nano-base, klein-nano"},
        {"field": "guidance_scale", "values": [2, 4, 8], "skip": [8]},
    ]
    result = build({"prompt": "a red circle"}, axes, seeds=2, title="Guidance & <models>")
    page = Page(render(result))
    data = page.data
    assert [axis["title"] for axis in data["axes"]] == ["Model", "Guidance scale"]
    assert data["seeds"] == ["0", "1"]
    assert [cell is None for cell in data["cells"]] == [False, False, True] * 2
    shots = [shot for cell in data["cells"] if cell for shot in cell]
    assert len(shots) == 8
    assert len(data["pictures"]) == 6  # the distilled model has no guidance: two cells share their pictures
    for cell, entries in zip(result.plan.cells, data["cells"], strict=True):
        for seed, entry in enumerate(entries or []):
            uri = data["pictures"][entry["picture"]]["uri"]
            picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
            assert np.array_equal(np.asarray(picture), np.asarray(result.picture(result.shots[cell.index, seed])))
            assert entry["recipe"] == cell.recipes[seed].to_yaml()
            assert entry["facts"]["Digest"] == cell.resolved[seed].digest


def test_nothing_is_fetched(build: Any) -> None:
    text = render(build({}, [{"field": "steps", "values": [1, 2]}]))
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "base")]
    assert all("src" not in attributes for _, attributes in page.tags)
    assert not re.search(r"https?://|url\(|@import|\bimport\(|fetch\(|XMLHttpRequest", text)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_markup_in_texts_is_inert(build: Any) -> None:
    axes: list[Any] = [{"replace": "red", "title": EVIL, "values": ["blue", EVIL]}]
    result = build({"prompt": f"a red {EVIL}"}, axes, title=EVIL, failed=(1,), error=EVIL)
    text = render(result)
    page = Page(text)
    assert len(page.scripts) == 2
    assert "broken" not in page.scripts[1]
    assert not [tag for tag, _ in page.tags if tag == "img"]
    data = page.data
    assert data["title"] == EVIL
    assert data["axes"][0]["labels"] == ["blue", EVIL]
    assert EVIL.strip() in data["cells"][1][0]["error"]
    assert "<script>window" not in text
    assert "\u2028" not in page.scripts[0]


def test_failed_and_pending_pictures_carry_their_state(build: Any) -> None:
    result = build({}, [{"field": "steps", "values": [1, 2, 3]}], failed=(0,), pending=(1,), error="Boom.")
    failed, pending, done = (cell[0] for cell in page_data(result)["cells"])
    assert (failed["status"], failed["error"]) == ("failed", "Boom.")
    assert (pending["status"], "picture" in pending) == ("pending", False)
    assert (done["status"], done["picture"]) == ("done", 0)
    assert "1 failed" in render(result)
    assert "1 not run" in render(result)


def test_a_page_of_very_many_pixels_says_that_it_is_not_exact(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    result = build({}, [{"field": "steps", "values": [1, 2]}])
    assert "WebP" not in render(result)
    monkeypatch.setattr("workbench.grid.page.EXACT_PIXELS", 1000)
    text = render(result)
    assert "WebP of quality 90" in text
    assert "data:image/webp" in text


def test_controls_have_names(build: Any) -> None:
    page = Page(render(build({}, [{"field": "steps", "values": [1, 2]}])))
    assert ("html", {"lang": "en"}) in page.tags
    for tag, attributes in page.tags:
        if tag in ("dialog", "input", "nav", "main"):
            assert attributes.get("aria-label")


def test_the_page_is_written_whole(build: Any, tmp_path: Path) -> None:
    path = build({}, [{"field": "steps", "values": [1, 2]}]).save_html(tmp_path / "grid.html")
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.html"]
