"""A person searches the gallery, ticks, stars, opens, copies, compares and deletes; and looks at the saved page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.comparison import compare, difference
from workbench.recipe import Recipe

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOADED = "image => image.complete && image.naturalWidth > 0"
MAP = """(canvas) => [canvas.width, canvas.height,
  Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)]"""


def until(page: Any, locator: Any, test: str) -> None:
    """Wait until the JavaScript `test` holds for the element."""
    page.wait_for_function(test, arg=locator.element_handle())


def ask(panel: Any, query: str) -> None:
    panel.locator(".wb-query input").fill(query)
    panel.locator(".wb-query input").press("Enter")


def test_gallery(lab: Any) -> None:
    lab.open("06_gallery.ipynb").run_all()
    page = lab.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = page.locator(".jp-OutputArea .wb-gallerypanel").first
    panel.scroll_into_view_if_needed()
    ask(panel, '"red circle" guidance>1')
    panel.locator(".wb-count", has_text="1 to 1 of 1").wait_for()
    ask(panel, "circle modle:x")
    panel.locator(".wb-banner", has_text="Did you mean 'model'").wait_for()
    lab.shot("gallery-wrong-query")
    ask(panel, "")
    panel.locator(".wb-banner").wait_for(state="hidden")
    tiles = panel.locator(".wb-tile")
    page.wait_for_function(
        "panel => { const images = [...panel.querySelectorAll('.wb-tile img')];"
        " return images.length >= 7 && images.every(image => image.naturalWidth > 0); }",
        arg=panel.element_handle(),
    )
    lab.shot("gallery-wall")

    tiles.nth(0).locator(".wb-tile-tick").check()
    tiles.nth(2).locator(".wb-tile-tick").click(modifiers=["Shift"])
    page.wait_for_function(
        "panel => panel.querySelectorAll('.wb-tile.wb-chosen').length === 3", arg=panel.element_handle()
    )
    chosen = lab.kernel("print(len(panel.wall.chosen))")
    assert chosen == "3"
    panel.locator(".wb-name input").fill("three")
    panel.locator(".wb-name input").press("Tab")
    assert lab.kernel("print(panel.name.value)") == "three"
    panel.locator(".wb-gallery-tag").click()
    panel.locator(".wb-count", has_text="3 tagged").wait_for()

    tiles.nth(1).locator(".wb-tile-open").click()
    detail = panel.locator(".wb-gallery-detail")
    until(page, detail.locator("img.wb-full"), LOADED)
    detail.locator(".wb-facts", has_text="three").wait_for()
    detail.locator(".wb-copy").click()
    detail.locator(".wb-copy", has_text="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert Recipe.from_yaml(copied).prompt in lab.kernel("print(panel.detail.entry.recipe.prompt)")
    tiles.nth(1).locator(".wb-tile-open").press("ArrowRight")
    assert page.evaluate("document.activeElement.className") == "wb-tile-open"

    panel.locator(".wb-gallery-exchange").click()
    view = panel.locator(".wb-compare")
    page.wait_for_function(
        "view => { const images = [...view.querySelectorAll('img')];"
        " return images.length === 3 && images.every(image => image.naturalWidth > 0); }",
        arg=view.element_handle(),
    )
    lab.shot("gallery-side-by-side")
    view.locator(".wb-compare-mode[data-mode=slider]").click()
    view.locator(".wb-compare-handle").fill("25")
    upper = view.locator(".wb-compare-upper")
    assert "25%" in upper.evaluate("image => image.style.clipPath")
    lab.shot("gallery-slider")
    view.locator(".wb-compare-mode[data-mode=blink]").click()
    shown = "view => view.querySelector('.wb-compare-note').textContent"
    first = page.evaluate(shown, view.element_handle())
    page.wait_for_function(
        "([view, first]) => view.querySelector('.wb-compare-note').textContent !== first",
        arg=[view.element_handle(), first],
    )
    view.locator(".wb-compare-mode[data-mode=difference]").click()
    view.locator(".wb-compare-map").wait_for()
    width, height, data = view.locator(".wb-compare-map").evaluate(MAP)
    lab.shot("gallery-difference")
    paths = lab.kernel("print(*[entry.path for entry in panel.gallery.show_all(panel.wall.chosen[:2])])").split()
    want = difference(*(Image.open(path).convert("RGB") for path in paths)).heat_map()
    got = np.asarray(data, np.uint8).reshape(height, width, 4)[..., :3]
    assert np.array_equal(got, np.asarray(want))  # the browser draws the very map that Python draws

    panel.locator(".wb-gallery-trash").click()
    panel.locator(".wb-count", has_text="3 in the trash").wait_for()
    ask(panel, "is:trash")
    panel.locator(".wb-count", has_text="1 to 3 of 3").wait_for()
    lab.assert_clean()


def test_halves_are_rounded_alike_in_the_saved_page(browser: Any, tmp_path: Path) -> None:
    full = 30  # 255 / 30 is 8.5: every odd level lies halfway between two colours
    levels = np.arange(full + 1, dtype=np.uint8)
    rows = [np.broadcast_to(row[None, :, None], (2, full + 1, 3)).copy() for row in (levels, levels * 0)]
    pictures = [Image.fromarray(row) for row in rows]
    page = browser.new_page()
    page.goto(compare(*pictures).to_html(tmp_path / "page.html").as_uri())
    page.locator("[data-mode=difference]").click()
    page.locator(".wb-compare-map").wait_for()
    width, height, data = page.locator(".wb-compare-map").evaluate(MAP)
    got = np.asarray(data, np.uint8).reshape(height, width, 4)[..., :3]
    assert np.array_equal(got, np.asarray(difference(*pictures).heat_map()))
    page.close()


def test_the_saved_page_stands_alone(browser: Any, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    pictures = [Image.fromarray(chance.integers(0, 256, (40, 60, 3), np.uint8)) for _ in range(2)]
    path = compare(*pictures, labels=["left <b>", "right"]).to_html(tmp_path / "page.html")
    context = browser.new_context(offline=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    page.locator("figcaption", has_text="left <b>").wait_for()
    page.locator("[data-mode=difference]").click()
    page.locator(".wb-compare-map").wait_for()
    width, height, data = page.locator(".wb-compare-map").evaluate(MAP)
    got = np.asarray(data, np.uint8).reshape(height, width, 4)[..., :3]
    assert np.array_equal(got, np.asarray(difference(*pictures).heat_map()))
    assert errors == []
    context.close()
