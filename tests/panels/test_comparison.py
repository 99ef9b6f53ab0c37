"""Comparisons without a browser: numbers, maps, sheets and pages."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import workbench
from workbench.comparison import compare, difference
from workbench.comparison.difference import LEAST, STOPS, ramp
from workbench.errors import InputError, StoreError
from workbench.recipe import Adapter, Recipe


def noise(seed: int, size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def test_equal_pictures_have_no_difference() -> None:
    found = difference(noise(1), noise(1))
    assert (found.largest, found.mean, found.changed, found.psnr) == (0, 0.0, 0.0, None)
    assert found.sentence == "equal, bit for bit"
    assert set(found.heat_map().get_flattened_data()) == {(0, 0, 0)}


@given(st.integers(0, 1000), st.integers(0, 31), st.integers(0, 23), st.integers(2, 255), st.integers(0, 2))
def test_one_changed_pixel_is_found(seed: int, x: int, y: int, step: int, channel: int) -> None:
    first = noise(seed)
    pixels = np.asarray(first).copy()
    before = int(pixels[y, x, channel])
    after = before + step if before + step < 256 else max(0, before - step)
    pixels[y, x, channel] = after
    found = difference(first, Image.fromarray(pixels))
    apart = abs(after - before)
    assert found.largest == apart
    assert found.levels[y, x] == apart
    assert np.count_nonzero(found.levels) == 1
    assert found.mean == pytest.approx(apart / (32 * 24 * 3))
    assert found.psnr == pytest.approx(10 * np.log10(255**2 * 32 * 24 * 3 / apart**2))
    white = found.heat_map(full=apart)
    assert white.getpixel((x, y)) == (255, 255, 255)
    assert white.getpixel(((x + 1) % 32, y)) == (0, 0, 0)


def test_psnr_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    one, other = noise(1), noise(2)
    want = metrics.peak_signal_noise_ratio(np.asarray(one), np.asarray(other), data_range=255)
    assert difference(one, other).psnr == pytest.approx(want)


def test_the_ramp_gets_lighter_all_the_way() -> None:
    colours = ramp()
    assert colours.shape == (256, 3)
    assert tuple(colours[0]) == STOPS[0]
    assert tuple(colours[255]) == STOPS[-1]
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -0.5).all()  # rounding may step back by a fraction


def test_small_differences_are_not_blown_up_to_white() -> None:
    first = Image.new("RGB", (4, 4), (100, 100, 100))
    second = Image.new("RGB", (4, 4), (101, 100, 100))
    found = difference(first, second)
    assert found.changed == 0  # within what verify calls equal
    assert set(found.heat_map().get_flattened_data()) == {tuple(ramp()[round(255 / LEAST)])}


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match=r"32 x 24 and 24 x 32.*one size"):
        difference(noise(1), noise(1, (24, 32)))


def test_anything_that_is_a_picture_can_be_compared(tmp_path: Path) -> None:
    noise(1).save(tmp_path / "one.png")
    noise(2).convert("L").save(tmp_path / "two.jpg")
    found = workbench.compare(tmp_path / "one.png", str(tmp_path / "two.jpg"), noise(3))
    assert found.labels == ("one.png", "two.jpg", "picture 3")
    assert [picture.mode for picture in found.pictures] == ["RGB"] * 3
    assert compare(noise(1), noise(2), labels=["a", "b"]).labels == ("a", "b")
    for wrong in ((), (noise(1),) * 65, (3,), (tmp_path / "none.png",)):
        with pytest.raises(InputError):
            compare(*wrong)
    with pytest.raises(InputError, match="1 labels for 2 pictures"):
        compare(noise(1), noise(2), labels=["a"])


def test_the_sheet_shows_pictures_and_maps(tmp_path: Path) -> None:
    one, other = Image.new("RGB", (100, 100), "red"), Image.new("RGB", (100, 100), "red")
    other.paste((0, 0, 255), (0, 0, 50, 100))
    path = compare(one, other, noise(1), labels=["first", "x" * 200, "another size"]).to_png(tmp_path / "sheet.png")
    page = Image.open(path).convert("RGB")
    colours = set(page.get_flattened_data())
    assert {(255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)} <= colours
    alone = compare(one).sheet()
    assert alone.height < page.height
    with pytest.raises(StoreError):
        compare(one).to_png(tmp_path / "no" / "sheet.png")


def test_the_page_holds_everything_and_no_markup_of_a_label(tmp_path: Path) -> None:
    evil = '</script><img src=x onerror="alert(1)">'
    path = compare(noise(1), noise(2), labels=[evil, "b"]).to_html(tmp_path / "page.html")
    text = path.read_text(encoding="utf-8")
    assert evil not in text
    assert text.count("</script>") == 2
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert [item["label"] for item in data["items"]] == [evil, "b"]
    assert data["ramp"] == ramp().tolist()
    import base64

    kept = Image.open(io.BytesIO(base64.b64decode(data["urls"][0].partition(",")[2])))
    assert kept.tobytes() == noise(1).tobytes()
    shown = compare(noise(1))._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "<script" not in shown  # escaped, inside the attribute


@dataclass(frozen=True)
class Made:
    """Like a result of a session."""

    recipe: Recipe
    picture: Image.Image = field(default_factory=lambda: noise(1))


def test_results_are_named_by_what_differs() -> None:
    base = Recipe(seed=7, model="klein", prompt="a red circle")
    assert compare(Made(base)).labels == ("1: seed 7, klein",)
    assert compare(Made(base), Made(base)).labels == ("1: seed 7, klein", "2: seed 7, klein")
    found = compare(Made(base), noise(2), Made(base.replace(steps=8, prompt="x" * 50, adapters=[Adapter(name="ink")])))
    assert found.labels == (
        "1: a red circle, steps none, no adapter",
        "picture 2",
        f"3: {'x' * 39}…, steps 8, ink x 1",
    )


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, workbench.comparison; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "matplotlib", "pandas", "diffusers"} & {each.partition(".")[0] for each in done.stdout.split()}
