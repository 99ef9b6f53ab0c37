"""The wall's Python half: traits stay light, pixels are sent when asked for, runs never mix."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from workbench.errors import GenerationError
from workbench.grid import Grid
from workbench.grid.result import Shot
from workbench.panels.banner import Banner
from workbench.panels.grid_view import GridView
from workbench.panels.pixels import HERE, KEEP, LOSSLESS, PixelWidget, encode, thumbnail

AXES: list[dict[str, Any]] = [
    {"field": "steps", "values": "1, 2", "skip": [2]},
    {"replace": "red", "values": "red, <b>green</b>, blue"},
]


class Wall(GridView):
    """A view whose messages are kept for the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        self.asked: list[int] = []
        super().__init__(self._find, Banner())

    def _find(self, place: int) -> Image.Image | None:
        self.asked.append(place)
        return Image.new("RGB", (300, 200), "red") if place < 3 else None

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.sent.append((content, buffers))


@pytest.fixture
def grid() -> Grid:
    return Grid({"prompt": "a red circle"}, AXES, seeds=[4, 7])


@pytest.fixture
def wall(grid: Grid) -> Wall:
    made = Wall()
    made.show_plan(grid.expand())
    return made


def shot(grid: Grid, cell: int = 0, **changes: Any) -> Shot:
    return replace(Shot(cell, 0, grid.expand().cells[cell].recipes[0], "0" * 64, "done"), **changes)


def test_a_plan_becomes_a_light_manifest(wall: Wall) -> None:
    assert wall.grid["seeds"] == ["4", "7"]
    assert wall.grid["axes"][0] == {"title": "Steps", "labels": ["1", "2"]}
    assert wall.grid["axes"][1]["labels"][1] == "<b>green</b>"  # the browser sets it as text
    assert wall.states == "pppppphhhhhh"
    assert wall.sent == []


def test_marks_are_sent_together(wall: Wall, grid: Grid) -> None:
    heard: list[str] = []
    wall.observe(lambda change: heard.append(change["new"]), "states")
    wall.mark(0, shot(grid))
    wall.mark(1, shot(grid, reused=True))
    wall.mark(3, shot(grid, cell=1, status="failed", error=GenerationError("A latent is not finite.", "Use float32.")))
    wall.flush()
    wall.flush()
    assert heard == ["dupfpphhhhhh"]
    assert wall.errors == {"3": "A latent is not finite. Use float32."}


def test_pixels_come_when_asked_for_and_are_encoded_once(wall: Wall) -> None:
    for _ in range(2):
        wall._handle_custom_msg({"type": "want", "id": "1:0"}, [])
    assert wall.asked == [0]
    assert [content for content, _ in wall.sent] == [{"type": "pixels", "id": "1:0", "mime": "image/png"}] * 2
    assert Image.open(io.BytesIO(wall.sent[0][1][0])).size == (256, 171)


def test_no_picture_and_no_sense_are_answered_too(wall: Wall) -> None:
    wall._handle_custom_msg({"type": "want", "id": "1:5"}, [])
    wall._handle_custom_msg({"type": "want", "id": "1:zero"}, [])  # reported in the banner, never raised
    wall._handle_custom_msg({"type": "nonsense"}, [])
    assert [content["type"] for content, _ in wall.sent] == ["gone"]


def test_a_new_run_never_shows_pixels_of_the_old_one(wall: Wall, grid: Grid) -> None:
    wall.mark(0, shot(grid))
    wall.flush()
    wall.selected = 0
    wall.show_plan(grid.expand())
    assert (wall.run, wall.selected, wall.states[0]) == (2, -1, "p")
    wall._handle_custom_msg({"type": "want", "id": "1:0"}, [])
    assert wall.asked == []
    assert wall.sent[-1][0]["type"] == "gone"


def test_previews_are_passing(wall: Wall, grid: Grid) -> None:
    preview = Image.new("RGB", (8, 8))
    wall.running(0, preview)
    assert wall.sent[-1][0] == {"type": "preview", "id": "1:0", "mime": "image/jpeg"}
    wall.mark(0, shot(grid))
    wall.running(0, preview)  # a late one is not shown over the finished picture
    assert len(wall.sent) == 1
    wall.running(1, preview)
    wall.stopped()
    wall.flush()
    assert wall.states.startswith("dp")


def test_a_grid_of_ten_thousand_pictures_is_ten_kilobytes() -> None:
    wall = Wall()
    big = Grid({"prompt": "a star"}, [{"field": "steps", "values": "1-100"}, {"field": "seed", "values": "1-100"}])
    wall.show_plan(big.expand())
    assert len(wall.states) == 10_000
    assert len(repr(wall.grid)) < 3_000


def test_memory_for_encoded_pictures_is_bounded() -> None:
    widget = PixelWidget(lambda _: Image.new("RGB", (4, 4)), Banner())
    for number in range(KEEP + 10):
        widget._handle_custom_msg({"type": "want", "id": str(number)}, [])
    assert len(widget._encoded) == KEEP


def test_small_pictures_are_exact_and_large_ones_quick() -> None:
    small = Image.effect_noise((64, 64), 50).convert("RGB")
    kind, data = encode(small)
    assert (kind, Image.open(io.BytesIO(data)).convert("RGB").tobytes()) == ("png", small.tobytes())
    kind, data = encode(Image.new("RGB", (1024, LOSSLESS // 1024 + 1)))
    assert kind == "jpeg"
    assert Image.open(io.BytesIO(data)).format == "JPEG"
    assert thumbnail(small).size == (64, 64)


@pytest.mark.parametrize("name", ["grid_view.js", "strip.js", "pixels.js", "panels.css", "grid_view.css"])
def test_nothing_is_fetched_and_nothing_is_markup(name: str) -> None:
    text = (HERE / name).read_text(encoding="utf-8")
    text = text.replace("xmlns='http://www.w3.org/2000/svg'", "")  # the name of a namespace, which nobody fetches
    assert not re.search(
        r"https?:|//cdn|@import|^import |innerHTML|insertAdjacentHTML|document\.write", text, re.MULTILINE
    )
