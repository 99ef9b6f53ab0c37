from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from PIL import Image

from workbench.errors import GridError
from workbench.grid.figure import pages
from workbench.grid.layout import arrange
from workbench.grid.text import Style, quiet, wrap

LONG = "a very long label, with words that go on and on until every margin would burst, and still some more of them"
WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
ODD = "$x^2$ & <b>猫</b> العربية 🚀 {braces} \\frac"


def texts(figure: Any) -> list[Bbox]:
    """The boxes of all texts of a figure, in pixels."""
    canvas = FigureCanvasAgg(figure)
    with quiet():
        canvas.draw()
        return [text.get_window_extent() for text in figure.axes[0].texts]


def check_texts(figure: Any) -> None:
    boxes = texts(figure)
    assert boxes
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    for one, two in itertools.combinations(boxes, 2):
        overlap = Bbox.intersection(one, two)
        assert overlap is None or overlap.width < 0.5 or overlap.height < 0.5, (one, two)


def test_long_and_odd_labels_are_neither_cut_nor_overlapping(build: Any) -> None:
    result = build(
        {"prompt": f"a red circle {LONG}"},
        [
            {"replace": "red", "title": LONG, "values": ["red", LONG, WORD, ODD]},
            {"replace": "circle", "title": WORD, "values": ["square", f"{LONG} {LONG} {LONG}", ODD]},
            {"settings": [{"label": f"{WORD} {n}", "set": {"steps": n}} for n in (4, 8)], "title": ODD},
            {"settings": [{"label": f"{n} {LONG}", "set": {"guidance_scale": n}} for n in (2, 4)]},
        ],
        title=f"{WORD} {LONG} {ODD}",
        failed=(3, 4),
        error=f"{LONG} {WORD}",
        pending=(7,),
        skip=[{LONG: "red", WORD: "square"}],
    )
    check_texts(result.figure(zoom=1))


def test_letters_that_no_font_has_keep_their_distance(build: Any) -> None:
    settings_ = [{"label": "00000000@\u074d\u2d66\u010e", "set": {"steps": 2}}]
    check_texts(
        build({"prompt": "0"}, [{"title": "steps 0", "settings": settings_}], title="0", seeds=1).figure(zoom=1)
    )


@settings(max_examples=12)
@given(data=st.data())
def test_no_text_leaves_the_canvas_or_hits_another(build: Any, data: st.DataObject) -> None:
    label = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=60)
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    fields = ["steps", "guidance_scale", "width", "height"]
    axes = []
    for name, size in zip(fields, sizes, strict=False):
        labels = data.draw(st.lists(label, min_size=size, max_size=size, unique=True))
        numbers = [64, 32, 128] if name in ("width", "height") else [2, 3, 4]
        settings_ = [{"label": text, "set": {name: value}} for text, value in zip(labels, numbers, strict=False)]
        axes.append({"title": f"{name} {data.draw(label)}", "settings": settings_})
    check_texts(
        build({"prompt": data.draw(label)}, axes, title=data.draw(label), seeds=data.draw(st.integers(1, 2))).figure(
            zoom=1
        )
    )


@pytest.mark.parametrize("zoom", [1, 2, 3])
def test_pixels_are_shown_as_they_are(build: Any, tmp_path: Path, zoom: int) -> None:
    axes: list[Any] = [{"field": "steps", "values": [4, 8, 28]}, {"field": "width", "values": [64, 96]}]
    result = build({}, axes, seeds=6, failed=(1,), title="A title")
    path = result.save_png(tmp_path / "grid.png", zoom=zoom)
    pixels = np.asarray(Image.open(path))
    layout = arrange(result.plan, title="A title", caption=_caption(result), zoom=zoom)
    assert pixels.shape == (layout.height, layout.width, 3)
    done = [slot for slot in layout.slots if result.shots[slot.cell.index, slot.seed].status == "done"]
    assert len(done) == 30
    for slot in done:
        picture = np.asarray(result.picture(result.shots[slot.cell.index, slot.seed]))
        shown = pixels[slot.y : slot.y + slot.height, slot.x : slot.x + slot.width]
        assert np.array_equal(shown, picture.repeat(zoom, 0).repeat(zoom, 1))


def _caption(result: Any) -> str:
    from workbench.grid.caption import caption

    return caption(result.plan)


def test_boxes_never_overlap_and_stay_inside(build: Any) -> None:
    result = build({}, [{"field": n, "values": [64, 128]} for n in ("width", "height", "steps")], seeds=5)
    layout = arrange(result.plan, title="", caption="")
    for slot in layout.slots:
        assert slot.x >= 0
        assert slot.y >= 0
        assert slot.x + slot.width <= layout.width
        assert slot.y + slot.height <= layout.height
    for one, two in itertools.combinations(layout.slots, 2):
        apart_x = one.x + one.width <= two.x or two.x + two.width <= one.x
        apart_y = one.y + one.height <= two.y or two.y + two.height <= one.y
        assert apart_x or apart_y


def test_first_axis_is_columns_second_rows_third_groups_columns(build: Any) -> None:
    axes: list[Any] = [
        {"field": "steps", "values": [1, 2]},
        {"field": "guidance_scale", "values": [2, 3]},
        {"field": "width", "values": [64, 128]},
    ]
    result = build({}, axes)
    slots = {slot.cell.at: slot for slot in arrange(result.plan, title="", caption="", zoom=1).slots}
    assert slots[0, 0, 0].x < slots[1, 0, 0].x < slots[0, 0, 1].x < slots[1, 0, 1].x
    assert slots[0, 0, 0].y < slots[0, 1, 0].y


def test_seeds_stand_side_by_side(build: Any) -> None:
    result = build({}, [{"field": "steps", "values": [1, 2]}], seeds=3)
    slots = arrange(result.plan, title="", caption="", zoom=1).slots[:3]
    assert [slot.seed for slot in slots] == [0, 1, 2]
    assert slots[0].y == slots[1].y == slots[2].y
    assert slots[0].x < slots[1].x < slots[2].x


def test_failed_pending_and_skipped_cells_look_different(build: Any) -> None:
    result = build(
        {}, [{"field": "steps", "values": [1, 2, 3, 4], "skip": [4]}], failed=(1,), pending=(2,), error="Boom"
    )
    figure = result.figure()
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "Failed: Boom" in words
    assert "not run" in words
    assert "skipped" in words
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    slots = arrange(result.plan, title="", caption=_caption(result)).slots
    corner = {slot.cell.index: tuple(pixels[slot.y + 3, slot.x + 3]) for slot in slots}
    assert corner[1] != corner[2] == corner[3] != (255, 255, 255)


def test_only_shows_a_part(build: Any) -> None:
    result = build({}, [{"field": "steps", "values": [1, 2, 3]}, {"field": "guidance_scale", "values": [2, 3]}])
    slots = arrange(result.plan, title="", caption="", only={"Steps": [3, 1], "Guidance scale": 3}).slots
    assert [slot.cell.at for slot in slots] == [(2, 1), (0, 1)]
    wrong: tuple[dict[str, Any], ...] = ({"Stpes": 1}, {"Steps": 9}, {"Steps": []})
    for only in wrong:
        with pytest.raises(GridError):
            result.figure(only=only)


def test_a_figure_that_is_too_large_is_refused_and_saved_in_parts(
    build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("workbench.grid.layout.MAX_PIXELS", 1_000_000)
    axes: list[Any] = [{"field": "steps", "values": "1-9"}, {"field": "guidance_scale", "values": "1-8"}]
    result = build({}, axes)
    with pytest.raises(GridError, match="only="):
        result.figure()
    parts = pages(result)
    covered = [
        (steps, scale)
        for part in parts
        for steps in part.get("Steps", result.plan.dimensions[0].labels)
        for scale in part.get("Guidance scale", result.plan.dimensions[1].labels)
    ]
    assert len(parts) > 1
    assert sorted(covered) == sorted(set(covered))
    assert len(covered) == 72
    names = [path.name for path in result.save(tmp_path)]
    assert names == [*(f"grid-{n + 1}.png" for n in range(len(parts))), "grid.html", "cells.parquet", "grid.yaml"]
    for name in names[: len(parts)]:
        with Image.open(tmp_path / name) as picture:
            assert picture.width * picture.height <= 1_000_000


def test_small_pictures_are_enlarged_by_a_whole_number_and_large_ones_are_not(build: Any) -> None:
    assert (
        arrange(
            build({}, [{"field": "width", "values": [64]}, {"field": "height", "values": [64]}]).plan,
            title="",
            caption="",
        ).zoom
        == 4
    )
    assert arrange(build({}, [{"field": "width", "values": [256]}]).plan, title="", caption="").zoom == 1


def test_a_figure_shows_itself_in_a_notebook(build: Any) -> None:
    png = build({}, [{"field": "steps", "values": [1]}]).figure()._repr_png_()
    assert png.startswith(b"\x89PNG")


@given(st.text(max_size=200), st.integers(1, 300))
def test_wrapping_loses_nothing_but_spaces(text: str, width: int) -> None:
    block = wrap(text, Style(14), width)
    kept = "".join("".join(line.split()) for line in block.lines)
    assert kept == "".join("".join(line.split()) for line in text.replace("\t", " ").splitlines())
